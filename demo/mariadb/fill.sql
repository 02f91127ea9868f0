-- The orders of a chandler, made up inside the server: with what real databases have and naive backups lose. Each part after
-- a "-- step:" line is one progress step, run by the user of the database. It is the same every time, because RAND() is
-- seeded. %name% is replaced by a number of rows.

-- step: customers
CREATE TABLE customers (
  id INT PRIMARY KEY AUTO_INCREMENT,
  name VARCHAR(100) NOT NULL,
  email VARCHAR(100) NOT NULL UNIQUE,
  city VARCHAR(50) CHARACTER SET latin1,
  preferences JSON NOT NULL DEFAULT '{}',
  photo BLOB,
  joined_at DATETIME(6) NOT NULL
) COMMENT = 'who buys; ''quotes'' and \\backslashes, too';
INSERT INTO customers (name, email, city, preferences, photo, joined_at)
SELECT CONCAT(ELT(1 + seq % 10, 'Anna', 'Łukasz', 'José', 'Зоя', '美咲', 'Øyvind', 'Chloë', 'Nguyễn', 'مريم', 'Zsófia'), ' ',
    ELT(1 + seq DIV 10 % 10, 'Müller', 'Kowalski', 'da Silva', 'Иванова', '佐藤', 'Ångström', 'O''Brien', 'Trần', 'حسن', 'Szabó')),
  CONCAT('customer', seq, '@example.org'), ELT(1 + seq % 5, 'Hamburg', 'São Paulo', 'Malmö', 'Zürich', NULL),
  JSON_OBJECT('newsletter', seq % 5 < 2, 'size', ELT(1 + seq % 4, 'S', 'M', 'L', 'XL'), 'note', IF(seq % 50 = 0, '🦫 likes "knots" \\ and tabs	', MD5(seq))),
  IF(seq % 10 = 0, UNHEX(REPEAT(SHA2(seq, 512), 16)), NULL), '2019-01-01' + INTERVAL RAND(seq) * 157680000000000 MICROSECOND
FROM seq_1_to_%customers%;

-- step: products
CREATE SEQUENCE skus START WITH 20000 INCREMENT BY 7;
CREATE TABLE products (
  id INT PRIMARY KEY AUTO_INCREMENT,
  sku BIGINT NOT NULL DEFAULT NEXTVAL(skus),
  title VARCHAR(100) NOT NULL,
  price DECIMAL(10, 2) NOT NULL CHECK (price >= 0),
  gross DECIMAL(12, 2) GENERATED ALWAYS AS (ROUND(price * 1.19, 2)) STORED,
  size ENUM('S', 'größer', '特大') NOT NULL,
  picture MEDIUMBLOB NOT NULL,
  UNIQUE KEY (sku)
);
INSERT INTO products (title, price, size, picture)
SELECT CONCAT(ELT(1 + seq % 6, 'Halyard', 'Sheet', 'Forestay', 'Shackle', 'Ölzeug', 'Block'), ' № ', seq), RAND(seq) * 900, 1 + seq % 3,
  UNHEX(REPEAT(SHA2(seq, 512), 48)) FROM seq_1_to_%products%;

-- step: orders
CREATE TABLE orders (
  id INT PRIMARY KEY,
  customer INT NOT NULL,
  state SET('paid', 'sent', 'gave it back') NOT NULL,
  ordered_at TIMESTAMP(3) NOT NULL,
  line_count INT NOT NULL DEFAULT 0,
  KEY (ordered_at),
  FOREIGN KEY (customer) REFERENCES customers (id) ON DELETE CASCADE
);
INSERT INTO orders (id, customer, state, ordered_at)
SELECT seq, 1 + FLOOR(RAND(seq) * %customers%), seq % 8, '2024-01-01 00:00:00' + INTERVAL seq * 67000000 MICROSECOND FROM seq_1_to_%orders%;

-- step: order lines
CREATE TABLE order_lines (
  order_id INT NOT NULL,
  position TINYINT UNSIGNED NOT NULL,
  product INT NOT NULL,
  quantity INT NOT NULL,
  note TEXT,
  PRIMARY KEY (order_id, position),
  CONSTRAINT `of an order` FOREIGN KEY (order_id) REFERENCES orders (id) ON DELETE CASCADE,
  FOREIGN KEY (product) REFERENCES products (id)
);
INSERT INTO order_lines SELECT o.seq, l.seq, 1 + FLOOR(RAND(o.seq * 10 + l.seq) * %products%), 1 + o.seq % 9,
  IF(o.seq % 3 = 0, CONCAT('please ', MD5(o.seq), ' or ', MD5(o.seq * l.seq)), NULL)
FROM seq_1_to_%orders% o JOIN seq_1_to_3 l WHERE l.seq <= 1 + o.seq % 3;
UPDATE orders SET line_count = 1 + id % 3;

-- step: events
CREATE TABLE `Lager Süd 東京` (id BIGINT, at DATE NOT NULL, what VARCHAR(500) NOT NULL, digest BINARY(32) NOT NULL, PRIMARY KEY (id, at))
  PARTITION BY RANGE (YEAR(at)) (PARTITION before_2025 VALUES LESS THAN (2025), PARTITION later VALUES LESS THAN MAXVALUE);
INSERT INTO `Lager Süd 東京` SELECT seq, '2023-01-01' + INTERVAL seq % 1400 DAY, CONCAT('moved ', seq % 40, ' × ', REPEAT(MD5(seq % 977), 4)),
  UNHEX(SHA2(seq, 256)) FROM seq_1_to_%events%;

-- step: triggers, routines, views and events
CREATE FUNCTION lines_of(wanted INT) RETURNS INT READS SQL DATA RETURN (SELECT COUNT(*) FROM order_lines WHERE order_id = wanted);
CREATE PROCEDURE `give back`(IN wanted INT) UPDATE orders SET state = 'gave it back' WHERE id = wanted;
CREATE TRIGGER `count lines` AFTER INSERT ON `order_lines` FOR EACH ROW UPDATE orders SET line_count = line_count + 1 WHERE id = NEW.order_id;
CREATE TRIGGER `uncount lines` AFTER DELETE ON `order_lines` FOR EACH ROW UPDATE orders SET line_count = line_count - 1 WHERE id = OLD.order_id;
CREATE VIEW turnover AS SELECT o.id, SUM(l.quantity * p.gross) AS gross FROM orders o JOIN order_lines l ON l.order_id = o.id JOIN products p ON p.id = l.product GROUP BY o.id;
CREATE VIEW `best orders` AS SELECT * FROM turnover ORDER BY gross DESC LIMIT 100;
CREATE EVENT `forget old moves` ON SCHEDULE EVERY 1 DAY STARTS '2035-01-01' DO DELETE FROM `Lager Süd 東京` WHERE at < NOW() - INTERVAL 20 YEAR;
