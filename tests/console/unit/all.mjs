import { webcrypto } from 'node:crypto';
import { runAll } from '../browser/tap.mjs';

globalThis.crypto ??= webcrypto; /* node 18 */
const { vectors } = await import('./vectors.mjs');
const { contents } = await import('./contents.mjs');
const { world } = await import('./world.mjs');
const { pins } = await import('./pins.mjs');
const { bundles } = await import('./bundles.mjs');
const { limits } = await import('./limits.mjs');
const { stamps } = await import('./stamps.mjs');

await vectors();
world();
contents();
stamps();
limits();
await pins();
await bundles();
process.exitCode = await runAll() === 0 ? 0 : 1;
