// Run by migrate.test.ts in several processes at once: one migration, its result on stdout.
import { migrate } from '../../src/postgres/migrate.ts';

const [databaseUrl = '', applicationRole = ''] = process.argv.slice(2);
process.stdout.write(JSON.stringify(await migrate({ databaseUrl, applicationRole })));
