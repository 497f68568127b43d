// Are the types wrong? In a process of its own, since the TypeScript in it is slow under a test runner. Prints one object of JSON.

import { readFileSync } from 'node:fs';
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core';

// The package is for ES modules: what `attw --profile esm-only` leaves out is left out here.
const RESOLUTIONS = new Set(['node16-esm', 'bundler']);

const result = await checkPackage(createPackageFromTarballData(readFileSync(process.argv[2] ?? '')));
if (!result.types) throw new Error('the package has no types');
process.stdout.write(
  JSON.stringify({
    entryPoints: Object.keys(result.entrypoints),
    problems: result.problems.filter(
      (problem) => !('resolutionKind' in problem) || RESOLUTIONS.has(problem.resolutionKind),
    ),
  }),
);
