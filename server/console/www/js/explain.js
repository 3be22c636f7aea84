/* A policy's lines in words, made of the lines themselves: what stands beside the text that people sign. */
import { linesOf, personsOf, words } from './policy.js';
import { has, t } from './words.js';

const keyKinds = [['kanmon/webauthn', 'webauthn'], ['kanmon/ecdsa', 'card'], ['kanmon/rsa', 'card']];

function keyKind(vkey) {
	let bytes = '';

	try {
		bytes = atob(vkey.split('+').slice(2).join('+'));
	} catch {
		return t('explain.key.file');
	}
	return t(`explain.key.${keyKinds.find(([name]) => bytes.includes(name))?.[1] ?? 'file'}`);
}

const list = (names) => names.join(', ');
const until = (parts, ...ends) => parts.slice(0, parts.findIndex((word) => ends.includes(word)) < 0 ? undefined : parts.findIndex((word) => ends.includes(word)));

/* By the line's first word: its words, told with the policy at hand. */
const lines = {
	custodian: ([, name, , vkey]) => t('explain.custodian', name, keyKind(vkey)),
	auditor: ([, name, , vkey]) => t('explain.auditor', name, keyKind(vkey)),
	terminal: ([, name]) => t('explain.terminal', name),
	'share-key': ([, name]) => t('explain.share-key', name),
	client: (parts) => t('explain.client', parts[1], list(until(parts.slice(parts.indexOf('tokens') + 1), 'operators'))) +
		(parts.includes('operators') ? t('explain.operators', list(parts.slice(parts.indexOf('operators') + 1))) : ''),
	webauthn: (parts) => t(parts.at(-1) === 'independent' ? 'explain.webauthn.independent' : 'explain.webauthn', parts[parts.indexOf('origin') + 1]),
	token: ([, name]) => t('explain.token', name),
	group: ([, name, least], policy) => t('explain.group', name, least, list(personsOf(policy, name))),
	role: ([, name, least, ...rest]) => t(has(`explain.role.${name}`) ? `explain.role.${name}` : 'explain.role', least, list(until(rest, 'delay'))),
	witness: ([, name]) => t('explain.witness', name),
	stance: ([, name, how]) => t(`explain.stance.${how}`, name),
	rule: ([, name]) => t('explain.rule', name),
};

function need(parts, policy) {
	const groups = parts.slice(1).filter((word) => word !== 'and');

	if (groups[0] === 'none' || groups[0] === 'deny')
		return t(`explain.need.${groups[0]}`);
	return groups.map((group) => {
		const least = linesOf(policy, 'group').find((line) => line[1] === group)?.[2] ?? '?';
		return t('explain.need', least, list(personsOf(policy, group)));
	}).join(t('explain.and'));
}

const inRule = {
	client: (parts) => t('explain.rule.client', list(parts.slice(1))),
	calls: (parts) => list(parts.slice(1).map((word) => (has(`explain.calls.${word}`) ? t(`explain.calls.${word}`) : word))),
	need,
	object: () => t('explain.rule.object'),
	independent: ([, count]) => t('explain.rule.independent', count),
	per: (parts) => t(has(`explain.per.${parts[1]}`) ? `explain.per.${parts[1]}` : 'explain.per.operation', parts[2] ?? '', parts[4] ?? ''),
	expires: ([, time]) => t('explain.rule.expires', time),
	content: ([, kind]) => t('explain.rule.content', kind),
	allow: ([, what]) => t('explain.rule.allow', what),
};

/* The words for one line of the text; '' where there is nothing to add. */
export function explain(raw, policy) {
	const parts = words(raw);
	const say = parts.length === 0 ? undefined : (raw.startsWith(' ') ? inRule : lines)[parts[0]];

	return say === undefined ? '' : say(parts, policy);
}
