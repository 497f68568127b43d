import { run } from '../../src/cli/program.ts';

/** One command line in this process, on a terminal that nobody watches. */
export async function quartermaster(argv: readonly string[], environment: Record<string, string> = {}) {
  let out = '';
  let err = '';
  const code = await run(argv, {
    environment,
    isWatched: false,
    writeOut: (text) => {
      out += text;
    },
    writeError: (text) => {
      err += text;
    },
  });
  return { code, out, err };
}
