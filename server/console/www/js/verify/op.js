/*
 * A call that is one record: nobody had to be asked, or it was refused (`op`). Its rule must have let it run at once, for that
 * key, in that class (docs/statements.md 6); what it signed must verify.
 */
import { need, Unknown } from './bytes.js';
import { classOf, isDurable } from './calls.js';
import { normOf } from './norm.js';
import { get } from './record.js';
import { mayDecide } from './rules.js';
import { verifyResult } from './signature.js';

const GRACE = 60000; /* ms: a policy may change while the HSM works */

const isNamed = (policy, named) => policy !== undefined && get(named, 'version') === policy.version && get(named, 'sha256') === policy.sha256;

/* The policy in force that the record names, or the one before, if the call began when that still was. */
function policyOf(policies, { body, t }) {
	const [before, now] = [policies.at(-2), policies.at(-1)];
	if (isNamed(now, body.policy))
		return now;
	need(isNamed(before, body.policy) && t - Math.floor(body.dur_us / 1000) - GRACE <= now.since, 'decision.policy');
	return before;
}

function checkRule(policy, body) {
	const rule = policy.rules.find((one) => one.name === body.rule);
	need(rule?.need === 'none', 'op.rule', { rule: body.rule });
	const kind = classOf(body.op);
	need(!isDurable(kind) || (kind === 'key-use' && rule.durability === 'B'), 'op.class', { rule: rule.name });
	need(kind !== 'key-use' || mayDecide(policy, rule, body), 'op.rule', { rule: rule.name });
}

/** Judges a record `op` under the policies so far; `ofHsm(run)` runs what is about the signature. Answers its policy. */
export async function judgeOp(policies, record, blobs, ofHsm) {
	const { body } = record;
	const policy = policyOf(policies, record);
	if (classOf(body.op) === undefined)
		throw new Unknown('unknown.rule');
	if (body.rv === 0)
		checkRule(policy, body);
	await ofHsm(async () => {
		const norm = body.rv === 0 ? normOf(body) : null;
		if (norm === null)
			return null;
		need(typeof get(body, 'out', 'b64') === 'string', 'result.signature');
		return verifyResult(body, norm, body.out.b64, blobs);
	});
	return policy;
}
