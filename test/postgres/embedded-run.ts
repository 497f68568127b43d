// Run by embedded-postgres.test.ts as a process of its own, to be killed: starts a server, tells its process id, and stays.
import { startEmbeddedPostgres } from '../../src/cli/dev/embedded-postgres.ts';

const [directory = ''] = process.argv.slice(2);
const server = await startEmbeddedPostgres({ directory, port: 0, log: () => {} });
process.stdout.write(`${server.pid}\n`);
setInterval(() => {}, 60_000);
