import type { Target } from './target.ts';
import { answer } from './targets/answer.ts';
import { checkpoint } from './targets/checkpoint.ts';
import { configuration } from './targets/configuration.ts';
import { createAnchor } from './targets/create-anchor.ts';
import { frames } from './targets/frames.ts';
import { journal } from './targets/journal.ts';
import { manifest } from './targets/manifest.ts';
import { note } from './targets/note.ts';
import { pageToken } from './targets/page-token.ts';
import { path } from './targets/path.ts';
import { proof } from './targets/proof.ts';
import { record } from './targets/record.ts';
import { requests } from './targets/requests.ts';
import { rows } from './targets/rows.ts';
import { statusTrailer } from './targets/status-details.ts';
import { vkey } from './targets/vkey.ts';

export const TARGETS: readonly Target[] = [
  vkey,
  note,
  checkpoint,
  proof,
  path,
  answer,
  record,
  pageToken,
  createAnchor,
  configuration,
  manifest,
  journal,
  statusTrailer,
  rows,
  requests,
  frames,
];
