import type { TreeHasher } from './hasher.ts';
import { portableHasher } from './portable.ts';

export const fastHasher: TreeHasher = portableHasher;
