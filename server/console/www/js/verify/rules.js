/*
 * Which rule decides a recorded request (docs/policy.md, How a call is judged). What cannot be told here throws Unknown:
 * a rule is never passed over because it is not understood.
 */
import { need, unb64, Unknown } from './bytes.js';
import { holdsBounds } from './bounds.js';
import { classOf, STARTS } from './calls.js';
import { APPROVED, HASHED } from './mechanisms.js';
import { HASHES, schemeOf } from './norm.js';
import { get } from './record.js';

const text = (object, ...names) => {
	const found = get(object, ...names);
	return typeof found === 'string' ? found : undefined;
};

/** The token line that fits what a key's reference says; undefined: none. */
export function tokenOf(policy, key) {
	return policy.tokens.find((token) => ['label', 'module', 'serial'].every((name) => {
		const shown = text(key, name === 'label' ? 'token' : name);
		return token[name] === undefined || shown === undefined || token[name] === shown;
	}));
}

/* What a request asks about: the object it uses, or the one that it will make. */
function questionOf(policy, body, material, now) {
	const key = get(body, 'key');
	const mechanism = text(body, 'mech', 'name');
	return {
		now,
		call: text(body, 'op'),
		client: policy.clients.find((client) => client.spki === text(body, 'requester', 'spki_sha256')),
		token: text(key, 'token') === undefined ? undefined : tokenOf(policy, key),
		hasToken: text(key, 'token') !== undefined,
		hasObject: text(key, 'class') !== undefined,
		made: false,
		class: text(key, 'class'),
		label: text(key, 'label'),
		id: text(key, 'id'),
		spki: text(key, 'spki_sha256'),
		/* made inside; of a request made ahead (session 0) only the public half is seen */
		local: (get(key, 'local') === true && get(key, 'never_extractable') === true) || (get(body, 'sess') === 0 && get(key, 'local') === undefined),
		mechanism: mechanism === '' ? undefined : mechanism,
		norm: material.norm,
		material,
	};
}

function objectFits(object, q) {
	if (object.token !== undefined && q.token?.name !== object.token)
		return false;
	if ((object.object !== undefined || object.id !== undefined || object.type !== undefined) && !q.hasObject)
		return false;
	const types = { private: 'private-key', public: 'public-key', cert: 'certificate', data: 'data', 'secret-key': 'secret-key' };
	if (object.type !== undefined && !Object.hasOwn(types, object.type))
		throw new Unknown('unknown.rule');
	return (object.object === undefined || q.label === object.object) && (object.type === undefined || q.class === types[object.type]) &&
		(object.id === undefined || (q.id !== undefined && q.id !== '' && q.id.toLowerCase() === object.id));
}

const callsFit = (rule, call) => rule.calls.includes(classOf(call)) || rule.calls.includes(call);
const restFits = (rule, q) => (rule.objects.length === 0 || rule.objects.some((object) => objectFits(object, q))) &&
	rule.clients.includes(q.client.name) && callsFit(rule, q.call);
const keyFits = (rule, q) => rule.keys.length === 0 || rule.keys.includes(q.spki);

function mechanismFits(wanted, q) {
	if (wanted === q.mechanism)
		return true;
	const named = schemeOf(wanted);
	if (named === null || q.norm === null || named.scheme !== q.norm.scheme)
		return false;
	return named.hash === '' || (q.norm.hash !== '' ? named.hash === q.norm.hash : HASHES[named.hash].bytes === q.norm.digest.length);
}

const mechanismsFit = (rule, q) => rule.mechanisms === null || rule.mechanisms.some((wanted) => mechanismFits(wanted, q));

/* A use, or the making, of a key by what is approved (docs/policy.md, Approved mechanisms). */
function isApproved(q) {
	if (q.mechanism === undefined || !['key-use', 'key-management'].includes(classOf(q.call)))
		return true;
	if (!HASHED.has(q.mechanism))
		return APPROVED.has(q.mechanism);
	if (q.norm === null)
		return false;
	return q.norm.hash !== '' ? q.norm.hash !== 'sha1' : q.norm.digest.length >= 28;
}

/* A rule with a pinned key that fits in all else, and does not see it: no laxer rule may decide. */
function pins(rule, q) {
	if (!q.hasObject || q.made || q.class !== 'private-key')
		return false;
	return rule.objects.some((object) => object.object !== undefined || object.id !== undefined) || q.spki === undefined;
}

const isSecret = (cls) => !['data', 'certificate', 'public-key'].includes(cls);
const refused = (rule, more = {}) => ({ answer: 'refused', rule, ...more });

/* The attributes of a time stamp came without it: they hold no more than its hash. */
const onlyHashOf = (kind, content) => kind === 'tst-info' && content?.kind === 'cms-signed-attributes' && !content.facts.hasContent &&
	content.facts.contentType === 'tst-info';

/* The answer of a rule that fits in all but mechanism and content; null: the next one is asked. */
function ruleDecides(rule, q) {
	if (!mechanismsFit(rule, q))
		return null;
	if (rule.mechanisms === null && !rule.anyMechanism && rule.need !== 'deny' && !isApproved(q))
		return refused(rule);
	if (rule.local && rule.need !== 'deny' && q.hasObject && isSecret(q.class) && !q.local)
		return refused(rule);
	const [kind, ...bounds] = rule.content;
	if (kind !== 'any') {
		if (q.material.unknown !== null)
			throw q.material.unknown;
		const { content, isData } = q.material;
		if (!isData || onlyHashOf(kind, content))
			return refused(rule, { contentMissing: true });
		if (content === null)
			return refused(rule);
		if (content.kind !== kind || !holdsBounds(bounds, content.facts, q.now))
			return null;
	}
	return { answer: { none: 'free', deny: 'refused', groups: 'held' }[rule.need], rule };
}

/** Is there a client for which the rule could decide this call with this key, whatever mechanism and content are? */
export function mayDecide(policy, rule, body) {
	const before = policy.rules.slice(0, policy.rules.indexOf(rule));
	return rule.clients.some((name) => {
		const q = { ...questionOf(policy, body, { norm: null }, 0), client: { name } };
		const fits = (one) => keyFits(one, q) && restFits(one, q);
		return fits(rule) && !before.some((one) => one.mechanisms === null && one.content[0] === 'any' && fits(one));
	});
}

function byRules(policy, q) {
	if (q.client === undefined || (q.now < policy.notBefore || q.now >= policy.expires) ||
		(q.hasToken && (q.token === undefined || !q.client.tokens.includes(q.token.name))))
		return refused(null);
	let pinned = false;
	for (const rule of policy.rules) {
		if (!restFits(rule, q) || (pinned && rule.keys.length === 0))
			continue;
		if (!keyFits(rule, q)) {
			pinned = pinned || pins(rule, q);
			continue;
		}
		const decided = ruleDecides(rule, q);
		if (decided !== null)
			return decided;
	}
	return refused(null);
}

const EQUIVALENT = new Set(['C_WrapKey', 'C_UnwrapKey', 'C_DeriveKey', 'C_DecapsulateKey', 'C_WrapKeyAuthenticated',
	'C_UnwrapKeyAuthenticated', 'C_DigestKey']);

function judge(policy, q) {
	if (q.call === undefined || classOf(q.call) === undefined || STARTS.has(q.call))
		throw new Unknown('unknown.rule');
	const verdict = byRules(policy, q);
	/* What does the same under another name is held by the rule that guards the key: not told here. */
	if (verdict.answer === 'free' && q.hasObject && !q.made && ['private-key', 'secret-key'].includes(q.class) &&
		(EQUIVALENT.has(q.call) || ['CKM_RSA_X_509', 'CKM_RSA_PKCS'].includes(q.mechanism)))
		throw new Unknown('unknown.rule');
	return verdict;
}

const LEAKS = /^(?:CKA_EXTRACTABLE|CKA_SENSITIVE|CKA_TRUSTED)(?:_[0-9]*)?$/;
const HARMLESS = { CKA_EXTRACTABLE: false, CKA_SENSITIVE: true, CKA_TRUSTED: false };

/* A generated key is judged by the name that it will have; a template that is out of the ordinary is not told here. */
function judgeMaking(policy, q, template, cls) {
	need(template !== undefined && typeof template === 'object', 'form.template');
	for (const [name, said] of Object.entries(template))
		if ((LEAKS.test(name) && HARMLESS[name] !== said) || ['CKA_LABEL_2', 'CKA_ID_2', 'CKA_CLASS_2'].includes(name))
			throw new Unknown('unknown.rule');
	const label = get(template, 'CKA_LABEL');
	const id = get(template, 'CKA_ID', 'b64');
	if (label !== undefined && typeof label !== 'string')
		throw new Unknown('unknown.rule');
	if (![undefined, cls === 'private-key' ? 3 : 4].includes(get(template, 'CKA_CLASS')))
		throw new Unknown('unknown.rule');
	const hexId = id === undefined ? undefined : Array.from(unb64(id), (byte) => byte.toString(16).padStart(2, '0')).join('');
	return judge(policy, { ...q, hasObject: true, made: true, class: cls, label, id: hexId, spki: undefined, local: true });
}

const MAKES = { C_GenerateKeyPair: 'private-key', C_GenerateKey: 'secret-key' };
/* Of calls with a template: those that are told here. */
const templateOf = (body) => (get(body, 'op') === 'C_GenerateKeyPair' ? get(body, 'template', 'pPrivateKeyTemplate') : get(body, 'template'));

/* Has the client's request for a window what its rule says, and is it asked for a key of its tokens? */
function judgeOpening(policy, q, window) {
	const rule = policy.rules.find((one) => one.name === get(window, 'rule'));
	if (q.client === undefined || q.now < policy.notBefore || q.now >= policy.expires || rule === undefined ||
		!rule.clients.includes(q.client.name) || q.token === undefined || !q.client.tokens.includes(q.token.name) ||
		rule.per.per !== 'window' || rule.per.seconds !== window.seconds || rule.per.uses !== window.uses || Object.keys(window).length !== 3)
		return refused(null);
	/* Some call must be one that the rule could decide, with that key, whatever comes before it. */
	const reached = rule.calls.some((word) => word === 'key-use' || classOf(word) === 'key-use') && keyFits(rule, q) &&
		(rule.objects.length === 0 || rule.objects.some((object) => objectFits(object, q)));
	const before = policy.rules.slice(0, policy.rules.indexOf(rule));
	if (!reached || before.some((one) => one.clients.some((client) => rule.clients.includes(client)) && one.mechanisms === null &&
		one.content[0] === 'any'))
		throw new Unknown('unknown.rule');
	return { answer: 'held', rule };
}

/**
 * {answer: 'free' | 'held' | 'refused', rule: or null, contentMissing} of an intent's body at a time, as the policy says.
 * Throws Unknown where this code cannot tell which rule decides.
 */
export function judgeIntent(policy, body, material, now) {
	const q = questionOf(policy, body, material, now);
	const window = get(body, 'window');
	if (window !== undefined)
		return judgeOpening(policy, q, window);
	const template = get(body, 'template');
	const extra = get(body, 'mech', 'params', 'template');
	if (extra !== undefined && get(extra, 'sha256') === undefined)
		throw new Unknown('unknown.rule');
	if (template !== undefined) {
		if (!Object.hasOwn(MAKES, q.call) || get(template, 'pPublicKeyTemplate', 'CKA_TRUSTED') !== undefined)
			throw new Unknown('unknown.rule');
		const made = judgeMaking(policy, q, templateOf(body), MAKES[q.call]);
		const named = q.hasObject ? judge(policy, q) : made;
		if (named.rule !== made.rule || named.answer !== made.answer)
			throw new Unknown('unknown.rule');
		return made;
	}
	if (['C_CreateObject', 'C_CopyObject', 'C_SetAttributeValue', 'C_UnwrapKey', 'C_UnwrapKeyAuthenticated', 'C_DeriveKey', 'C_EncapsulateKey',
		'C_DecapsulateKey', ...Object.keys(MAKES)].includes(q.call))
		throw new Unknown('unknown.rule');
	const verdict = judge(policy, q);
	const applicant = get(body, 'application', 'key_spki_sha256');
	const shown = material.content?.facts.key;
	if (applicant !== undefined && material.unknown !== null)
		throw material.unknown;
	return applicant !== undefined && shown !== undefined && shown !== applicant ? refused(verdict.rule) : verdict;
}

