/*
 * What will be signed, laid out for reading: certificate, CRL, request, OCSP response, time stamp, template. It is made
 * of the statement's `input` lines alone. A line that no row below knows is shown as it stands; none is left out.
 */
import { el } from './dom.js';
import { readable } from './value.js';
import { inputOf, valueOf, valuesOf } from './statement.js';
import { warningsOf } from './lint.js';
import { daysBetween } from './time.js';
import { t, has } from './words.js';

/* The headline of each kind: the `input` line that names what it is about. */
const headline = {
	'x509-tbscertificate': 'subject',
	'x509-tbscertlist': 'issuer',
	'pkcs10-certificationrequestinfo': 'subject',
	'ocsp-responsedata': 'responder',
	'rfc3161-tstinfo': 'imprint',
};

/* These are said together with another line. */
const said = new Set(['not-after', 'next-update', 'version']);

const halves = { pPrivateKeyTemplate: 'content.half.private', pPublicKeyTemplate: 'content.half.public' };

/* `pPrivateKeyTemplate.CKA_ID.b64`: an attribute of a key that is made, in words where there are some. */
function attribute(name) {
	const [half, type, ...more] = name.split('.');
	const words = has(`keys.attribute.${type}`) ? t(`keys.attribute.${type}`) : type;

	return [halves[half] === undefined ? null : `${t(halves[half])}: `, [words, ...more].join('.')];
}

const term = (name) => (has(`content.${name}`) ? t(`content.${name}`) : name.includes('.CKA_') ? attribute(name) : name);

function validity(statement, from, to) {
	const days = daysBetween(from, to);

	return [el('span', { class: 'time' }, from), ' → ', el('span', { class: 'time' }, to ?? '?'),
		days === null ? null : el('span', { class: 'aside' }, ` ${t('content.days', days)}`)];
}

/* `extension NAME [critical] WORDS`: lines of one name in a row together. */
function extensionRow(name, entries) {
	const critical = entries.some((words) => words.startsWith('critical ') || words === 'critical');

	return el('div', { class: 'extension' },
		el('dt', {}, has(`extension.${name}`) ? t(`extension.${name}`) : name,
			critical ? el('span', { class: 'tag' }, t('content.critical')) : null),
		el('dd', {}, entries.map((words) => el('div', {}, readable(words.replace(/^critical ?/, ''))))));
}

function rows(statement, skip) {
	const found = [];
	let extension = null;

	for (const value of valuesOf(statement, 'input')) {
		const space = value.indexOf(' ');
		const name = space < 0 ? value : value.slice(0, space), rest = space < 0 ? '' : value.slice(space + 1);

		if (name === 'extension') {
			const [oid, ...words] = rest.split(' ');
			if (extension?.oid !== oid)
				found.push(extension = { oid, entries: [] });
			extension.entries.push(words.join(' '));
			continue;
		}
		extension = null;
		if (name === skip || said.has(name))
			continue;
		if (name === 'not-before')
			found.push({ term: t('content.validity'), value: validity(statement, rest, inputOf(statement, 'not-after')) });
		else if (name === 'this-update')
			found.push({ term: t('content.update'), value: validity(statement, rest, inputOf(statement, 'next-update')) });
		else
			found.push({ term: term(name), value: readable(rest) });
	}
	return found.map((row) => (row.oid === undefined ? el('div', {}, el('dt', {}, row.term), el('dd', {}, row.value))
		: extensionRow(row.oid, row.entries)));
}

/* A name as people read it: the common name first and large, the rest below. */
function nameOf(value) {
	const parts = value.split(/(?<!\\),/);
	const common = parts.find((part) => part.startsWith('CN=')) ?? parts[0];

	return el('p', { class: 'name' }, el('span', { class: 'common' }, readable(common.replace(/^CN=/, ''))),
		parts.length > 1 ? el('span', { class: 'rest' }, readable(parts.filter((part) => part !== common).join(', '))) : null);
}

function warnings(statement, now) {
	const found = warningsOf(statement, now);

	return found.length === 0 ? el('p', { class: 'quiet' }, t('lint.none'))
		: el('ul', { class: 'warnings' }, found.map((name) => el('li', {},
			el('span', { class: 'mark', 'aria-hidden': 'true' }, '!'), ' ', t(`lint.${name}`))));
}

/* The card; null where the statement's content has no words. `heading`: instead of what kind of content it is. */
export function contentCard(statement, now, headingId, heading = null) {
	const kind = valueOf(statement, 'input-kind');

	if (valuesOf(statement, 'input').length === 0)
		return null;
	const name = headline[kind] === undefined ? null : inputOf(statement, headline[kind]);
	return el('section', { class: 'card content', 'aria-labelledby': headingId },
		el('h2', { id: headingId }, heading ?? (has(`kind.${kind}`) ? t(`kind.${kind}`) : kind)),
		name === null ? null : nameOf(name),
		name === null ? null : warnings(statement, now),
		el('dl', { class: 'facts' }, rows(statement, headline[kind])));
}
