import type { Plugin } from 'esbuild';

export declare const browserPlatform: Plugin;
