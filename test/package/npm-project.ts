import { execFile } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** An empty project in a directory of its own, and the Node.js that everything in it runs on. */
export class NpmProject {
  readonly directory: string;
  readonly node: string;

  constructor(directory: string, node: string, manifest: object = {}) {
    this.directory = directory;
    this.node = node;
    mkdirSync(directory);
    this.write('package.json', JSON.stringify({ private: true, type: 'module', ...manifest }));
  }

  write(name: string, content: string): void {
    writeFileSync(join(this.directory, name), content);
  }

  path(...names: readonly string[]): string {
    return join(this.directory, ...names);
  }

  /** Packages that do not say that they run on this Node.js are refused. */
  install(...specifiers: readonly string[]): Promise<Ran> {
    return this.npm(
      'install',
      '--engine-strict',
      '--prefer-offline',
      '--no-audit',
      '--no-fund',
      ...specifiers,
    );
  }

  npm(...argv: readonly string[]): Promise<Ran> {
    const npm = process.env.npm_execpath;
    if (npm === undefined) throw new Error('npm is the one that runs this: npm run test:package');
    return this.run(npm, ...argv, '--prefix', this.directory);
  }

  /** A script, as an ordinary user of Node.js starts it. */
  run(...argv: readonly string[]): Promise<Ran> {
    // npm and the scripts of packages find Node.js by its name.
    const path = [dirname(this.node), process.env.PATH ?? ''].join(delimiter);
    const options = { cwd: this.directory, env: { ...process.env, PATH: path }, maxBuffer: 64 * 1024 * 1024 };
    return new Promise((resolve) => {
      execFile(this.node, argv, options, (error, stdout, stderr) => {
        resolve({ code: error === null ? 0 : Number(error.code ?? -1), stdout, stderr });
      });
    });
  }
}

/** Node.js of exactly this version, from the package `node`. @returns the path of the program */
export async function installNode(directory: string, version: string): Promise<string> {
  const project = new NpmProject(directory, process.execPath, { allowScripts: { node: true } });
  const { code, stderr } = await project.install(`node@${version}`);
  if (code !== 0) throw new Error(`npm could not install Node.js ${version}: ${stderr}`);
  return project.path('node_modules', 'node', 'bin', 'node');
}
