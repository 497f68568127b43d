import { SETTINGS, SETTINGS_OF, type SettingName } from './settings.ts';

const COMMANDS: Readonly<
  Record<keyof typeof SETTINGS_OF, { readonly title: string; readonly about: string }>
> = {
  serve: { title: '`quartermaster serve`', about: 'The server.' },
  dev: {
    title: '`quartermaster dev`',
    about:
      'A server to try things on: it brings its own Postgres and makes its own signing seed, and takes a free port where its own is taken and `--listen` was not given.',
  },
  migrate: { title: '`quartermaster migrate`', about: 'Creates and upgrades the tables.' },
  fsck: { title: '`quartermaster fsck`', about: 'Reads the database and recomputes everything.' },
  agent: {
    title: '`quartermaster agent`',
    about: 'The gateway client as a process of its own; see `docs/agent.md`.',
  },
  client: {
    title: 'Client commands',
    about:
      '`cluster`, `key show`, `anchor`, `prove` and `bench`. (`verify` and `key generate` need no settings and no network.)',
  },
};

/** The whole of docs/configuration.md. */
export function describeConfiguration(): string {
  const sections = Object.entries(COMMANDS).map(
    ([command, { title, about }]) =>
      `## ${title}\n\n${about}\n\n${tableOf(SETTINGS_OF[command as keyof typeof SETTINGS_OF])}`,
  );
  return `${INTRODUCTION}\n${sections.join('\n')}`;
}

const INTRODUCTION = `# Configuration

<!-- Generated from src/cli/config/settings.ts by \`npm run generate\`; edit that. -->

Every setting has an environment variable, and most have a flag, which wins. Settings are read once, at the start, and every
mistake is reported at once (exit code 2) before the database is reached. A variable that begins with \`QUARTERMASTER_\` and is no setting
is warned about and ignored. An empty variable counts as not set.

Times are written with a unit (\`500ms\`, \`30s\`, \`5m\`, \`1h\`), sizes in bytes or with one (\`40MiB\`), booleans as \`true\` or \`false\`;
the flag of a boolean alone means \`true\`.

With \`QUARTERMASTER_LOG_LEVEL=debug\` any command that fails prints the stack and the causes of its error, too.
`;

function tableOf(names: readonly SettingName[]): string {
  const rows = names.map((name) => {
    const { flag, env, placeholder, fallback, description, secret } = SETTINGS[name];
    const flagCell = flag === undefined ? '' : `\`${flag} <${placeholder}>\``;
    const defaultCell = fallback === undefined ? '' : `\`${fallback}\``;
    return `| \`${env}\` | ${flagCell} | ${defaultCell} | ${description}${secret ? ' Secret: never printed.' : ''} |`;
  });
  return `| variable | flag | default | meaning |\n| --- | --- | --- | --- |\n${rows.join('\n')}\n`;
}
