// Preloaded with --import: says at the end which modules were loaded, by whatever way.
import { registerHooks } from 'node:module';

const urls = new Set();
registerHooks({
  resolve(specifier, context, nextResolve) {
    const resolved = nextResolve(specifier, context);
    urls.add(resolved.url);
    return resolved;
  },
});
process.once('exit', () => process.stdout.write(JSON.stringify([...urls])));
