/* The time stamp of a bundle: an `anchor` record, held against the tree, the request that it must cover, and pinned TSAs. */
import { b64, Bad, need, unb64, Unknown } from './bytes.js';
import { readCheckpoint } from './note.js';
import { get } from './record.js';
import { judgeToken } from './stamp.js';
import { timeText } from './time.js';

const TOKEN_MAX = 16384;
const SKEW = 10000; /* ms that a record may be later than the time stamp that covers it (docs/ledger.md 7a) */

/* What the record says of its token; Bad where it is not the members of one. */
function readSaid(body) {
	const { tsa, imprint_alg: alg, nonce_tsa: nonce, gen_time: genTime, policy_oid: policy } = body;
	need(['sha256', 'sha512'].includes(alg) && /^[0-9a-f]{16}$/.test(nonce), 'time.note');
	const token = unb64(body.token);
	need(token.length > 0 && token.length <= TOKEN_MAX, 'time.note');
	return { tsa, token, want: { alg, nonce, genTime, policy } };
}

async function headOf(record, trust, isHead) {
	const { size, note } = record.body;
	need(typeof note === 'string', 'time.note');
	const head = await readCheckpoint(note, trust.origin, trust.key);
	need(head.size === size && size <= record.i && await isHead({ size, root: b64(head.root) }), 'time.note');
	return head;
}

/* Records that it covers are not later than it is; only the whole ledger says whether a clock was put back. */
function checkOrder(records, size, genTime) {
	const late = records.find((one) => one.i < size && one.t > genTime + SKEW);
	if (late !== undefined)
		throw new Unknown('time.order', { record: late.i });
}

async function judgeAnchor(record, { records, trust, isHead, blobs, last }) {
	const said = readSaid(record.body);
	let head;
	try {
		head = await headOf(record, trust, isHead);
	} catch (error) {
		throw error instanceof Bad && !(error instanceof Unknown) ? new Bad('time.note') : error;
	}
	need(head.size > last, 'time.cover');
	const pem = blobs.get(record.body.chain_sha256);
	need(pem !== undefined, 'time.chain');
	await judgeToken(said.token, new TextEncoder().encode(record.body.note), said.want, pem, trust.tsa.map((one) => b64(one.root)));
	checkOrder(records, head.size, said.want.genTime);
	return [{ time: timeText(said.want.genTime), tsa: said.tsa }, [{ name: 'root', value: b64(head.root) }]];
}

/**
 * Judges every anchor of a bundle; `steps` is told (verdict.js). `last`: index of the record that must be covered;
 * `isHead({size, root})`: is it a head of the checkpoint's tree?
 */
export async function judgeTime(steps, given) {
	const anchors = given.records.filter((record) => record.type === 'anchor' && get(record.body, 'note') !== undefined);
	if (given.trust.tsa.length === 0)
		return steps.note('time', 'none', 'time.none');
	if (anchors.length === 0)
		return steps.note('time', 'unknown', 'time.short');
	for (const record of anchors)
		try {
			steps.note('time', 'ok', 'time.ok', ...await judgeAnchor(record, given));
		} catch (error) {
			steps.fail('time', error, { record: record.i });
		}
	return undefined;
}
