import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '../..');
const PAGE = readFileSync(join(ROOT, 'docs/failover.md'), 'utf8');

/** The lines of the page's shell blocks, joined where they go on. */
export const DOCUMENTED: readonly string[] = [...PAGE.matchAll(/^```sh\n(.*?)^```$/gms)].flatMap(
  ([, block]) =>
    (block ?? '')
      .replaceAll(/\\\n\s*/g, '')
      .split('\n')
      .filter((line) => line !== ''),
);

export interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Somebody at three at night with docs/failover.md, a shell and a directory: real commands, in processes of their own. */
export class Operator {
  readonly #directory: string;
  readonly #endpoint: string;
  /** Lines of the page that were run. */
  readonly followed = new Set<string>();

  private constructor(directory: string, endpoint: string) {
    this.#directory = directory;
    this.#endpoint = endpoint;
  }

  /** @param endpoint the server that the commands talk to */
  static async at(endpoint: string): Promise<Operator> {
    const directory = await mkdtemp(join(tmpdir(), 'quartermaster-operator-'));
    await symlink(join(ROOT, 'bin/quartermaster.js'), join(directory, 'quartermaster'));
    return new Operator(directory, endpoint);
  }

  /**
   * Runs a line of docs/failover.md.
   *
   * @param beginning of the line, enough to tell it from the others
   * @param variables that the page leaves open, such as CLUSTER
   */
  async follow(beginning: string, variables: Readonly<Record<string, string>> = {}): Promise<Ran> {
    const [line, ...others] = DOCUMENTED.filter((documented) => `${documented}\n`.startsWith(beginning));
    if (line === undefined || others.length > 0) {
      throw new Error(
        `${others.length + (line === undefined ? 0 : 1)} lines of the page begin with "${beginning}"`,
      );
    }
    this.followed.add(line);
    return await this.run(line, variables);
  }

  /** Anything else. */
  async run(line: string, variables: Readonly<Record<string, string>> = {}): Promise<Ran> {
    const child = spawn('bash', ['-euo', 'pipefail', '-c', line], {
      cwd: this.#directory,
      env: {
        PATH: `${this.#directory}:${join(process.execPath, '..')}:${process.env.PATH}`,
        QUARTERMASTER_ENDPOINT: this.#endpoint,
        ...variables,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let out = '';
    let err = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      err += text;
    });
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject).once('close', resolve);
    });
    return { code, out, err };
  }

  /** A file in the operator's directory. */
  async put(name: string, text: string): Promise<void> {
    await writeFile(join(this.#directory, name), text);
  }

  read(name: string): Promise<string> {
    return readFile(join(this.#directory, name), 'utf8');
  }

  async leave(): Promise<void> {
    await rm(this.#directory, { recursive: true, force: true });
  }
}
