/* Operations and files, judged by js/verify against what this browser keeps of the ledger (trust.js). */
import { ApiError, get, query } from './api.js';
import { differences, readFacts, rowOf } from './facts.js';
import { kept, needOurs } from './trust.js';
import { Bad, need, unb64 } from './verify/bytes.js';
import { readCheckpoint } from './verify/note.js';
import { get as member, parseRecord } from './verify/record.js';
import { includes } from './verify/tree.js';
import { parseTrust, pinnedTrust } from './verify/trust.js';
import { verifyBundle } from './verify/verdict.js';
import { reason, t } from './words.js';

const trustOf = (trust) => pinnedTrust({ origin: trust.origin, policySha256: trust.policy, log: trust.log });
const inWords = (error) => (error instanceof Bad ? reason(error.why, error.params) : error.message);

/* ---- records -------------------------------------------------------------------------------------------------- */

/* A record by its index, proven to be in this ledger: as parseRecord() answers. Bad otherwise; ApiError where it cannot be had. */
export async function placedRecord(index, mine) {
	const { note } = await get('ledger/checkpoint');
	const trust = await trustOf(mine);
	const head = await readCheckpoint(note, trust.origin, trust.key);
	const [{ records: [line] }, { path }] = await Promise.all([get(query('ledger/records', { from: index, count: 1 })),
		get(query('ledger/proof', { index, size: head.size }))]);
	const record = await parseRecord(new TextEncoder().encode(line));

	need(record.i === index && await includes(record.leaf, index, head, path.map((hash) => unb64(hash, 32))), 'place.tree', { record: index });
	await needOurs(head);
	return { ...record, head };
}

/* ---- bundles -------------------------------------------------------------------------------------------------- */

/* {verdict, words, steps, bundle, head} of a bundle's text; `file`: the text of a trust file, or null. */
export async function judgeText(text, file) {
	const mine = kept();
	const unknown = { verdict: 'unknown', steps: [], bundle: text, head: null };
	let trust;

	if (file === null && mine === null)
		return { ...unknown, words: t('verify.notrust') };
	try {
		trust = file === null ? await trustOf(mine) : await parseTrust(file);
	} catch (error) {
		return { ...unknown, words: inWords(error) };
	}
	const outcome = await verifyBundle(text, trust);
	const steps = outcome.steps.map(({ id, verdict, why, params, digests }) => ({ what: id, verdict, why: reason(why, params), digests }));
	const verdict = outcome.verdict === 'verified' ? 'ok' : outcome.verdict === 'failed' ? 'failed' : 'unknown';
	if (verdict === 'ok' && file === null && mine.first === true)
		return { ...unknown, steps, words: t('check.ledger.first'), head: outcome.head };
	return { verdict, steps, words: t(`verdict.words.${verdict}`), bundle: text, head: outcome.head };
}

/*
 * The bundle of a request, an `op` or what ended one, asked of the gateway and judged: as judgeText(), and `facts` (facts.js), null where
 * it does not hold. It is of what was asked for, and of the history that this browser keeps.
 */
export async function judgeBundle(index) {
	const answer = await get(`operations/${index}/bundle`);
	const judged = await judgeText(typeof answer === 'string' ? answer : answer.bundle, null);

	if (judged.verdict === 'failed' || judged.head === null)
		return { ...judged, facts: null };
	const facts = await readFacts(judged.bundle);
	need((facts.request === index || facts.ends.some((end) => end.i === index)) && facts.call !== null, 'line.other', { names: 'request' });
	await needOurs(judged.head);
	return { ...judged, facts };
}

/* ---- operations ----------------------------------------------------------------------------------------------- */

/* What the gateway's row says beside what its records say; Bad where it is something else. */
function needRow(operation, row) {
	const names = differences(operation, row);

	need(names.length === 0, 'line.other', { names: names.join(', ') });
}

/* An operation that needed nobody is one record; its channel's says who called. */
async function judgeOne(operation, mine) {
	const { facts, ...judged } = await judgeBundle(operation.record);

	if (facts === null)
		return judged;
	const record = facts.ends.find((end) => end.type === 'op');
	need(record !== undefined, 'line.other', { names: 'class' });
	const channel = await placedRecord(record.body.chan, mine);
	needRow(operation, rowOf(record.body, record, record.i, member(channel.body, 'peer', 'name')));
	return judged;
}

async function judgeRow(operation) {
	const { facts, ...judged } = await judgeBundle(operation.request);

	if (facts === null)
		return judged;
	const end = facts.ends.find((one) => one.i === operation.record);
	need(end !== undefined, 'line.other', { names: 'record' });
	needRow(operation, rowOf(facts.call, end, facts.request, member(facts.call, 'requester', 'name')));
	return judged;
}

/* An operation, as the gateway lists it: its evidence is asked for and judged. What cannot be fetched is `unknown`. */
export async function judgeOperation(operation) {
	const mine = kept();

	try {
		return operation.class === 'B' && mine !== null ? await judgeOne(operation, mine) : await judgeRow(operation);
	} catch (error) {
		if (error instanceof Bad)
			return { verdict: 'failed', steps: [], words: inWords(error), bundle: null };
		if (!(error instanceof ApiError))
			throw error;
		return { verdict: 'unknown', steps: [], words: error.message, bundle: null };
	}
}
