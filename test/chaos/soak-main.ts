// `npm run soak -- --minutes 10`: the long form of memory.test.ts, by hand.

import { developerCommand } from '../../scripts/developer-command.ts';
import { parseCount } from '../../src/cli/options.ts';
import { openTestDatabase } from '../support/database.ts';
import { startTestServer } from '../support/postgres-server.ts';
import { createTemplate } from '../support/postgres-template.ts';
import { describeSoak, MEMORY_BOUND_MIB, soak } from './soak.ts';

/** Of 600 s; what the sawtooth of collected garbage leaves of a line that is level. */
const LEVEL_MIB_PER_MINUTE = 15;

const { minutes } = developerCommand('soak', 'Memory of a server at full load.')
  .option('--minutes <count>', 'how long', parseCount(1, 100_000), 10)
  .parse()
  .opts<{ readonly minutes: number }>();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

const postgres = await startTestServer();
try {
  const database = await openTestDatabase(await createTemplate(postgres.superuserUrl));
  const report = await soak(database, { seconds: minutes * 60, print: (line) => console.log(line) });
  console.log(describeSoak(report));
  await database.close();
  const isBounded =
    report.largestMib < MEMORY_BOUND_MIB && Math.abs(report.slopeMibPerMinute) < LEVEL_MIB_PER_MINUTE;
  console.log(isBounded ? 'memory is bounded' : 'memory is not bounded');
  process.exitCode = isBounded ? 0 : 1;
} finally {
  await postgres.stop();
}
