import base from '../../jest.config.js';

/** @type {import('jest').Config} */
export default {
  ...base,
  rootDir: '../..',
  testMatch: ['<rootDir>/test/interop/**/*.test.ts'],
  testPathIgnorePatterns: [],
  // Builds other people's programs first.
  testTimeout: 600_000,
  maxWorkers: 1,
};
