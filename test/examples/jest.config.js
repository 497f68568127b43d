import base from '../../jest.config.js';

const { globalSetup: _, globalTeardown: __, ...withoutPostgres } = base;

/** @type {import('jest').Config} */
export default {
  ...withoutPostgres,
  rootDir: '../..',
  testMatch: ['<rootDir>/test/examples/**/*.test.ts'],
  testPathIgnorePatterns: [],
  // They bring their own.
  maxWorkers: 1,
};
