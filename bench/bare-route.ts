import { readFile } from 'node:fs/promises';
import fastify from 'fastify';

/** A program: answers every request with the bytes of a file, and nothing else. It says where it listens. */
const bytes = await readFile(process.argv[2]!, 'utf8');
const app = fastify();
app.get('/', async (_request, reply) => reply.type('application/json; charset=utf-8').send(bytes));
process.stdout.write(`${await app.listen({ host: '127.0.0.1', port: 0 })}\n`);
process.on('SIGTERM', () => void app.close());
