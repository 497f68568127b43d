import { join } from 'node:path';
import type { JournalFiles } from './file-system.ts';

/** Writes a file of its own, never over another. @returns its path, once it is on disk */
export async function keepEvidence(
  files: JournalFiles,
  directory: string,
  atMs: number,
  evidence: string,
): Promise<string> {
  const time = new Date(atMs).toISOString().replaceAll(':', '-');
  for (let attempt = 0; ; attempt++) {
    const path = join(directory, `evidence-${time}${attempt === 0 ? '' : `-${attempt}`}.json`);
    try {
      const file = await files.create(path);
      try {
        const bytes = Buffer.from(evidence);
        await file.write(bytes, bytes.length, 0);
        await file.sync();
      } finally {
        await file.close();
      }
      await files.syncDirectory(directory);
      return path;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
}
