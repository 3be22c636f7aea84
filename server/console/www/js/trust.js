/*
 * What this browser keeps of a ledger: origin, log key and the hash of policy 1, seen first and shown to be compared, or
 * read from a trust file; and the newest head that it verified. Each new head must have grown out of that one. What
 * contradicts it stays on the screen, also after the page is loaded anew, until somebody forgets the ledger by hand.
 */
import { get, query } from './api.js';
import { b64, Bad, equal, unb64 } from './verify/bytes.js';
import { readCheckpoint } from './verify/note.js';
import { sha256b64 } from './verify/sha256.js';
import { grew } from './verify/tree.js';
import { parseTrust, pinnedTrust } from './verify/trust.js';
import { noteText } from './policy.js';

const NAME = 'kanmon.trust';

export const kept = () => JSON.parse(localStorage.getItem(NAME) ?? 'null');
export const forget = () => localStorage.removeItem(NAME);

function keep(trust) {
	localStorage.setItem(NAME, JSON.stringify(trust));
	return trust;
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

	return { origin: body.origin, log: body.vkey, policy: await sha256b64(noteText(body.policy)), first: true };
}

const asHead = (head) => ({ size: head.size, root: unb64(head.root, 32) });

/* Did `to` grow out of `from`, by a proof that the gateway gives? */
async function continues(from, to) {
	if (from.size === to.size)
		return equal(unb64(from.root, 32), unb64(to.root, 32));
	if (from.size > to.size)
		return false;
	const { path } = await get(query('ledger/consistency', { from: from.size, to: to.size }));
	return grew(asHead(from), asHead(to), path.map((hash) => unb64(hash, 32)));
}

/*
 * Looks at the newest checkpoint. {trust, alarm: null or {what, kept, shown}}; what: 'origin', 'signature', 'older',
 * 'forked'. A head that is older than the one kept is an alarm as well: a gateway's own newest never is.
 */
export async function look() {
	const trust = kept() ?? keep(await firstSight());

	if (trust.alarm !== undefined)
		return { trust, alarm: trust.alarm };
	const { note } = await get('ledger/checkpoint');
	let head, what = null;
	try {
		const pinned = await pinnedTrust({ origin: trust.origin, policySha256: trust.policy, log: trust.log });
		const found = await readCheckpoint(note, pinned.origin, pinned.key);
		head = { size: found.size, root: b64(found.root) };
		if (trust.head !== undefined && !await continues(trust.head, head))
			what = head.size < trust.head.size ? 'older' : 'forked';
	} catch (error) {
		if (!(error instanceof Bad))
			throw error;
		what = note.startsWith(`${trust.origin}\n`) ? 'signature' : 'origin';
	}
	/* What is kept may have changed while we asked: people confirm, another page looks. */
	const now = kept() ?? trust;
	if (what === null)
		return { trust: keep({ ...now, head: (now.head?.size ?? 0) > head.size ? now.head : head }), alarm: null };
	const alarm = { what, kept: trust.head ?? null, shown: note };
	return { trust: keep({ ...now, alarm }), alarm };
}

/* People compared what was seen first, or gave a trust file. */
export function confirm(trust = kept()) {
	const { first, ...rest } = trust;

	return keep(rest);
}
