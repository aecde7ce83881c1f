// Zod without compiled schemas, which need `eval`. Builds for browsers import this file instead of `zod`.
import * as z from 'zod';

z.config({ jitless: true });

export * from 'zod';
