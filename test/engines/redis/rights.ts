/** The ACL rules that docs/engines/redis.md gives; the tests run with users of these rights. */

export const backupRights = '~forestay:* -@all +ping +client|setname +info +select +get +replconf +psync';

export const restoreRights = [
  '~* -@all +ping +client|setname +client|list +client|kill +info +select +get +set +del +dbsize +swapdb +flushdb',
  '+watch +unwatch +multi +exec +discard +eval +restore +rpush +sadd +zadd +hset +pexpireat +xadd +xsetid +xgroup|create',
  '+xgroup|createconsumer +xclaim +function|dump +function|restore +function|flush +replconf +psync',
].join(' ');
