import { execFile, execFileSync } from 'node:child_process';
import { mkdir, stat, statfs } from 'node:fs/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

const ROOMY = '2g';
const FILL_ATTEMPTS = 50;

/**
 * A file system of its own (tmpfs) that can be made full and roomy again: writes then fail with the kernel's own ENOSPC. Its
 * memory is what is stored there, whatever its size.
 */
export class SmallDisk {
  readonly path: string;
  readonly #onExit: () => void;

  private constructor(path: string) {
    this.path = path;
    this.#onExit = () => execFileSync('umount', ['--lazy', path]);
    process.once('exit', this.#onExit);
  }

  /** @returns undefined where this process may not mount */
  static async mount(
    path: string,
    { uid, gid }: { uid: number; gid: number },
  ): Promise<SmallDisk | undefined> {
    await mkdir(path);
    const options = `size=${ROOMY},uid=${uid},gid=${gid},mode=700`;
    try {
      await run('mount', ['-t', 'tmpfs', '-o', options, 'quartermaster-chaos', path]);
    } catch {
      return undefined;
    }
    return new SmallDisk(path);
  }

  /** Not a byte more than there is. */
  async fill(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const { blocks, bfree, bsize } = await statfs(this.path);
      try {
        await run('mount', ['-o', `remount,size=${(blocks - bfree) * bsize}`, this.path]);
        return;
      } catch (error) {
        // Refused where more has been written meanwhile.
        if (attempt === FILL_ATTEMPTS) throw error;
      }
    }
  }

  async makeRoom(): Promise<void> {
    await run('mount', ['-o', `remount,size=${ROOMY}`, this.path]);
  }

  async unmount(): Promise<void> {
    await run('umount', ['--lazy', this.path]);
    process.removeListener('exit', this.#onExit);
  }
}

export async function ownerOf(path: string): Promise<{ uid: number; gid: number }> {
  const { uid, gid } = await stat(path);
  return { uid, gid };
}
