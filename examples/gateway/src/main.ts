import { readConfiguration } from './configuration.ts';
import { serve } from './serve.ts';

await serve(readConfiguration(process.env));
