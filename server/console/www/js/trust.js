/*
 * What this browser keeps of a ledger, for the pages (js/verify/pin.js has the rules): origin, log key and the hash of
 * policy 1, seen first and shown to be compared, or read from a trust file; and the newest head that it verified. What
 * contradicts it stays on the screen, also after the page is loaded anew, until somebody forgets the ledger by hand.
 */
import { get, query } from './api.js';
import { noteText } from './policy.js';
import { b64, Bad, need, unb64 } from './verify/bytes.js';
import { consistent, Pins } from './verify/pin.js';
import { sha256b64 } from './verify/sha256.js';
import { parseTrust } from './verify/trust.js';

const pins = new Pins(localStorage, 'kanmon.trust');

/* What is said of an alarm: the last is for anything that is no checkpoint of this ledger. */
const ALARMS = { 'pin.old': 'older', 'pin.fork': 'forked', 'pin.spoilt': 'spoilt', 'form.checkpoint': 'origin' };

/* As pages read it: {origin, log, policy, first?, head?, alarm?: {what, kept, shown}}; null: nothing is kept. */
function asPages(one) {
	if (one === null)
		return null;
	const { origin, log, policySha256: policy, first, head, error } = one;
	return { origin, log, policy, ...(first ? { first } : {}), ...(head === null ? {} : { head }),
		...(error === null ? {} : { alarm: { what: ALARMS[error.why] ?? 'signature', kept: error.head, shown: error.note } }) };
}

export const kept = () => asPages(pins.read());

/* Heads that were found to be of the history that is kept, by size: many operations come under one. */
const ours = new Map();

export function forget() {
	ours.clear();
	pins.forget();
}

/* {origin, log, policy} of a trust file (docs/ledger.md 9); null: it is none. */
export async function readTrust(text) {
	try {
		const { origin, log, policySha256 } = await parseTrust(text);
		return { origin, log, policy: policySha256 };
	} catch (error) {
		if (!(error instanceof Bad))
			throw error;
		return null;
	}
}

/* The first sight of a ledger: what its first record says, to be compared by people. */
async function firstSight() {
	const { records: [line] } = await get(query('ledger/records', { from: 0, count: 1 }));
	const { body } = JSON.parse(line);

	return pins.pin({ origin: body.origin, log: body.vkey, policySha256: await sha256b64(noteText(body.policy)) }, true);
}

async function prove(from, to) {
	const { path } = await get(query('ledger/consistency', { from, to }));
	return path;
}

/*
 * Looks at the newest checkpoint. {trust, alarm: null or {what, kept, shown}}; what: 'origin', 'signature', 'older',
 * 'forked'. A head that is older than the one kept is an alarm as well: a gateway's own newest never is.
 */
export async function look() {
	const asked = pins.read() ?? await firstSight();

	if (asked.error === null)
		await pins.take((await get('ledger/checkpoint')).note, prove, asked);
	const trust = kept() ?? asPages(asked);
	return { trust, alarm: trust.alarm ?? null };
}

/*
 * A head that the log key signed is not enough for what a page shows: it is of the same history as the one that is kept,
 * or Bad('pin.fork').
 */
export async function needOurs(head) {
	const mine = pins.read()?.head ?? null;
	const root = b64(head.root);

	if (mine === null || ours.get(head.size) === root)
		return;
	need(await consistent(head, { size: mine.size, root: unb64(mine.root, 32) }, prove), 'pin.fork');
	ours.set(head.size, root);
}

/* People compared what was seen first, or gave a trust file. */
export async function confirm(trust = kept()) {
	return asPages(await pins.pin({ origin: trust.origin, log: trust.log, policySha256: trust.policy }));
}
