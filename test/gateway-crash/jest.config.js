import base from '../../jest.config.js';

/** @type {import('jest').Config} */
export default {
  ...base,
  rootDir: '../..',
  testMatch: ['<rootDir>/test/gateway-crash/**/*.test.ts'],
  testPathIgnorePatterns: [],
  // Less than a minute and a half on a machine with nothing else to do.
  testTimeout: 840_000,
  maxWorkers: 1,
};
