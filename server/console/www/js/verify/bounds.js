/* Bounds of a rule's `content` line (docs/policy.md), held against what was decoded. */
import { Unknown } from './bytes.js';
import { seconds } from './policy.js';

const FORMS = {
	'issuer=': (text, facts) => facts.issuer === text,
	'subject=': (text, facts) => facts.subject === text,
	'validity<=': (text, facts) => facts.notAfter >= facts.notBefore && facts.notAfter - facts.notBefore <= seconds(text) * 1000,
	'ca=': (text, facts) => String(facts.ca === true) === text,
	'pathlen<=': (text, facts) => facts.pathlen !== undefined && facts.pathlen <= Number(text),
	'responder=': (text, facts) => facts.responder === text,
	'policy=': (text, facts) => facts.tstPolicy === text,
	'clock<=': (text, facts, now) => facts.genTime !== undefined && Math.abs(facts.genTime - now) <= seconds(text) * 1000,
	'content-type=': (text, facts) => facts.contentType === text,
	'next-update<=': (text, facts, now) => facts.nextUpdate !== undefined && facts.nextUpdate - now <= seconds(text) * 1000,
};

/** Do all bounds hold? Throws Unknown for one that is not known here. */
export function holdsBounds(bounds, facts, now) {
	return bounds.every((bound) => {
		const form = Object.keys(FORMS).find((start) => bound.startsWith(start));
		if (form === undefined)
			throw new Unknown('unknown.bound', { bound });
		return FORMS[form](bound.slice(form.length), facts, now);
	});
}
