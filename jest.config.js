/** @type {import('jest').Config} */
export default {
  testEnvironment: 'node',
  // One Postgres for all workers of a run; QM_TEST_DATABASE says which.
  globalSetup: '<rootDir>/test/support/postgres-global-setup.ts',
  globalTeardown: '<rootDir>/test/support/postgres-global-teardown.ts',
  testMatch: ['<rootDir>/test/**/*.test.ts'],
  // These need more than Node.js, or more time; each has a configuration and a script of its own.
  testPathIgnorePatterns: ['<rootDir>/test/(chaos|examples|gateway-crash|interop|package|pgbouncer)/'],
  extensionsToTreatAsEsm: ['.ts'],
  transform: {
    '\\.ts$': [
      '@swc/jest',
      { jsc: { target: 'es2024', parser: { syntax: 'typescript' } }, module: { type: 'es6' } },
    ],
  },
  testTimeout: 60_000,
  // The same cores carry the servers and the Postgres under test.
  maxWorkers: 2,
};
