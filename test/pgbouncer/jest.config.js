import base from '../../jest.config.js';

/** @type {import('jest').Config} */
export default {
  ...base,
  rootDir: '../..',
  // What serves and stores, through PgBouncer. Not what is about one session: plans, start-up, migrations, lost connections.
  testMatch: [
    '<rootDir>/test/pgbouncer/*.test.ts',
    '<rootDir>/test/integration/*.test.ts',
    '<rootDir>/test/postgres/(append|batch-store|clusters|racing|reading).test.ts',
  ],
  testPathIgnorePatterns: [],
  globalTeardown: '<rootDir>/test/pgbouncer/global-teardown.ts',
};
