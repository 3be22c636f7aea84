/*
 * What the records of a bundle say of its operation, for pages that hold something else against them. Only for a bundle
 * that was verified: nothing is checked here.
 */
import { noteSigners } from './policy.js';
import { parseBundle } from './verify/bundle.js';
import { get, parseRecord } from './verify/record.js';

const ENDS = new Set(['result', 'decision', 'op']);

/*
 * {call: body of the intent or the `op`, ends: its results and decisions, statement: text or null, policies: records of
 * notes, approvedBy: names, refusals: notes, blobs}; `call` is null where the bundle lacks it.
 */
export async function readFacts(text) {
	const bundle = await parseBundle(text);
	const records = await Promise.all(bundle.records.map((part) => parseRecord(part.bytes)));
	const of = (type) => records.filter((record) => record.type === type);
	const isOurs = (record) => record.i === bundle.request || get(record.body, 'request', 'i') === bundle.request;

	return {
		request: bundle.request, blobs: bundle.blobs,
		call: records.find((record) => record.i === bundle.request)?.body ?? null,
		ends: records.filter((record) => ENDS.has(record.type) && isOurs(record)),
		statement: of('statement').find(isOurs)?.body.text ?? null,
		approvedBy: of('approval').filter((record) => isOurs(record) && record.body.check === 'ok').flatMap((record) => noteSigners(record.body.note)),
		refusals: records.filter((record) => (record.type === 'rejection' || record.type === 'veto') && isOurs(record)).map((record) => record.body.note),
		policies: records.filter((record) => record.type === 'genesis' || record.type === 'policy'),
	};
}

const outcomeOf = ({ type, body }) => (type === 'decision' ? 'refused' : body.rv === 0 ? 'ok' : body.dur_us === 0 ? 'refused' : 'failed');

/* A key that is made has its name in the template. */
const labelOf = (call) => get(call, 'key', 'label') ??
	['pPrivateKeyTemplate', 'pTemplate'].map((name) => get(call, 'template', name, 'CKA_LABEL')).find((label) => typeof label === 'string');

/* What a line of the list shows, made of the records: the same members as the gateway's row. `end`: record of ENDS. */
export function rowOf(call, end, request, client) {
	return {
		record: end.i, t: end.t, request, client, op: call.op, mech: get(call, 'mech', 'name'), label: labelOf(call), token: get(call, 'key', 'token'),
		purpose: call.purpose, application: get(call, 'application', 'id'), rv: end.body.rv_name,
		verdict: end.body.verdict, result: outcomeOf(end),
	};
}

/* Names of what the gateway's row says otherwise. */
export function differences(operation, row) {
	const said = { ...operation, label: operation.key?.label, token: operation.key?.token };

	return Object.keys(row).filter((name) => (said[name] ?? '') !== (row[name] ?? ''));
}
