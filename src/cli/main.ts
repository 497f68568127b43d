import { run } from './program.ts';

// A reader that has enough (`quartermaster cluster list | head -1`) is no failure.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit();
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
