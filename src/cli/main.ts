import { EXIT } from './error.ts';
import { run } from './program.ts';

for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    // A reader that has enough (`quartermaster cluster list | head -1`) is no failure.
    if (error.code === 'EPIPE') process.exit();
    // A verdict that nobody could read is none.
    if (stream === process.stdout)
      process.stderr.write(`quartermaster: cannot write the output: ${error.message}\n`);
    process.exit(EXIT.refused);
  });
}

process.exitCode = await run(process.argv.slice(2), {
  environment: process.env,
  writeOut: (text) => process.stdout.write(text),
  writeError: (text) => process.stderr.write(text),
  isWatched: process.stderr.isTTY === true,
});

// A command that is done has closed what it opened. Should something be left, it must not keep the process.
setTimeout(() => process.exit(), 2_000).unref();
