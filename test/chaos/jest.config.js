import base from '../../jest.config.js';

/** @type {import('jest').Config} */
export default {
  ...base,
  rootDir: '../..',
  testMatch: ['<rootDir>/test/chaos/**/*.test.ts'],
  testPathIgnorePatterns: [],
  // A schedule of faults takes as long as it was asked to take.
  testTimeout: 1_200_000,
  maxWorkers: 1,
};
