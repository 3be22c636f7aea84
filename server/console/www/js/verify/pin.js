/*
 * What a browser keeps of a ledger: the three values that trust hangs from, and the newest head that it verified. Each new
 * checkpoint must be of the pinned key, no older than what was kept when it was asked for, and consistent with it. What
 * contradicts it is kept too, and stays until somebody forgets the ledger: no reload, no other tab, no later checkpoint
 * makes it good.
 *
 *	const pins = new Pins(localStorage, name);
 *	await pins.pin({ origin, policySha256, log });          first sight, or parseTrust() of a file
 *	const asked = pins.read();
 *	const kept = await pins.take(note, (from, to) => hashes, asked);
 *
 * Kept: {origin, policySha256, log, first, head: {size, root: base64} or null, error: {why, note, head} or null}.
 */
import { b64, Bad, equal, need, unb64 } from './bytes.js';
import { readCheckpoint } from './note.js';
import { grew } from './tree.js';
import { pinnedTrust } from './trust.js';

const PINNED = ['origin', 'policySha256', 'log'];

/** Did the tree of one head ({size, root: bytes}) grow out of the other's, whichever is older? `prove(from, to)`: base64. */
export async function consistent(one, other, prove) {
	const [from, to] = one.size <= other.size ? [one, other] : [other, one];
	if (from.size === to.size)
		return equal(from.root, to.root);
	return grew(from, to, (await prove(from.size, to.size)).map((hash) => unb64(hash, 32)));
}

const bytesOf = (head) => ({ size: head.size, root: unb64(head.root, 32) });

export class Pins {
	/** `storage`: getItem, setItem, removeItem, under this name; `locks`: as navigator.locks, where there are several tabs. */
	constructor(storage, name, locks = globalThis.navigator?.locks) {
		Object.assign(this, { storage, name, locks });
	}

	/**
	 * What is kept, read anew each time: another tab may have written. null: nothing. What cannot be read is not nothing, or
	 * the next ledger that comes along would be taken for the first one: it is an error that stays.
	 */
	read() {
		const text = this.storage.getItem(this.name);
		if (text === null)
			return null;
		try {
			const kept = JSON.parse(text);
			need(PINNED.every((name) => typeof kept[name] === 'string') && typeof kept.head === 'object' && typeof kept.error === 'object', 'pin.spoilt');
			return kept;
		} catch {
			return { origin: '', policySha256: '', log: '', first: false, head: null, error: { why: 'pin.spoilt', note: text, head: null } };
		}
	}

	write(kept) {
		this.storage.setItem(this.name, JSON.stringify(kept));
		return kept;
	}

	/* One tab at a time. */
	alone(run) {
		return this.locks === undefined ? run() : this.locks.request(this.name, run);
	}

	/**
	 * Pins these values; `first`: seen here for the first time, and not compared by anybody yet. Bad('pin.other') where others
	 * are pinned. What was kept of the same ledger stays.
	 */
	async pin({ origin, policySha256, log }, first = false) {
		await pinnedTrust({ origin, policySha256, log });
		return this.alone(() => {
			const kept = this.read();
			need(kept === null || PINNED.every((name) => kept[name] === { origin, policySha256, log }[name]), 'pin.other');
			return this.write({ origin, policySha256, log, head: null, error: null, ...kept, first: first && (kept?.first ?? true) });
		});
	}

	/** Nothing is known any more. Only a person decides that. */
	forget() {
		this.storage.removeItem(this.name);
	}

	/** For verifyBundle(). */
	trust() {
		return pinnedTrust(this.read());
	}

	/* The head of a note, if nothing contradicts it; else throws Bad, which is for ever. */
	async check(note, kept, prove, asked) {
		const { key } = await pinnedTrust(kept);
		const head = await readCheckpoint(note, kept.origin, key);
		need(asked?.head === null || asked?.head === undefined || head.size >= asked.head.size, 'pin.old');
		need(kept.head === null || await consistent(bytesOf(kept.head), head, prove), 'pin.fork');
		return head;
	}

	/**
	 * Takes a checkpoint that the gateway gave. `asked`: read() from before it was asked for, so that a slow answer beside
	 * another tab's is not called old. Answers what is kept then; `error` says what is wrong. What `prove` throws is thrown:
	 * a gateway that cannot be reached has not lied.
	 */
	async take(note, prove, asked = this.read()) {
		return this.alone(async () => {
			const kept = this.read();
			need(kept !== null, 'pin.nothing');
			if (kept.error !== null)
				return kept;
			let head;
			try {
				head = await this.check(note, kept, prove, asked);
			} catch (error) {
				if (!(error instanceof Bad))
					throw error;
				return this.write({ ...kept, error: { why: error.why, note, head: kept.head } });
			}
			const newer = kept.head === null || head.size > kept.head.size;
			return newer ? this.write({ ...kept, head: { size: head.size, root: b64(head.root) } }) : kept;
		});
	}
}
