/*
 * What is allowed and hardly meant: the rows of include/kanmon/lint.h, as far as the statement's lines show them. Those
 * that need the issuer's certificate are asked by `kanmon approve --issuer`.
 */
import { inputOf, valueOf, valuesOf } from './statement.js';
import { daysBetween, instant } from './time.js';

const knownCritical = new Set(['basicConstraints', 'keyUsage', 'extKeyUsage', 'subjectAltName', 'certificatePolicies',
	'policyConstraints', 'inhibitAnyPolicy', 'nameConstraints', 'cRLDistributionPoints', 'issuingDistributionPoint']);

/* What the rows ask, read from the lines once. */
function factsOf(statement, now) {
	const kind = valueOf(statement, 'input-kind');
	const extensions = valuesOf(statement, 'input').filter((value) => value.startsWith('extension '))
		.map((value) => value.split(' ').slice(1));
	const extension = (name) => extensions.find((parts) => parts[0] === name) ?? null;
	const basic = extension('basicConstraints');
	const rsa = /^RSA (\d+) exponent (\d+)/.exec(inputOf(statement, 'key-algorithm') ?? '');
	const subject = inputOf(statement, 'subject'), issuer = inputOf(statement, 'issuer');

	return {
		now, subject, extensions, extension, rsa,
		certificate: kind === 'x509-tbscertificate',
		list: kind === 'x509-tbscertlist',
		response: kind === 'ocsp-responsedata',
		ca: basic?.includes('ca=true') ?? false,
		pathlen: basic?.some((word) => word.startsWith('pathlen=')) ?? false,
		critical: (name) => extension(name)?.[1] === 'critical',
		signs: extension('keyUsage')?.includes('keyCertSign') ?? false,
		server: (extension('extKeyUsage')?.includes('serverAuth') ?? false) && !(basic?.includes('ca=true') ?? false),
		selfIssued: subject !== null && subject === issuer,
		serial: inputOf(statement, 'serial') ?? '',
		version: inputOf(statement, 'version'),
		from: inputOf(statement, 'not-before'), to: inputOf(statement, 'not-after'),
		updates: valuesOf(statement, 'input').filter((value) => value.startsWith('next-update ')).map((value) => value.slice(12)),
		thisUpdate: inputOf(statement, 'this-update') ?? inputOf(statement, 'produced-at'),
		curve: inputOf(statement, 'key-algorithm') ?? '',
		algorithm: inputOf(statement, 'signature-algorithm') ?? '',
	};
}

const serialBits = (serial) => BigInt(`0x${serial.replace('-', '') || '0'}`).toString(2).length;

const rows = {
	'ca-key-usage': (f) => f.certificate && f.ca && !f.signs,
	'key-usage-ca': (f) => f.certificate && !f.ca && f.signs,
	'ca-not-critical': (f) => f.certificate && f.ca && !f.critical('basicConstraints'),
	'pathlen-no-ca': (f) => f.certificate && !f.ca && f.pathlen,
	'pathlen-none': (f) => f.certificate && f.ca && !f.pathlen && !f.selfIssued,
	'never-valid': (f) => f.certificate && instant(f.to) < instant(f.from),
	expired: (f) => f.certificate && instant(f.to) < f.now,
	'weak-rsa': (f) => f.rsa !== null && Number(f.rsa[1]) < 2048,
	'small-exponent': (f) => f.rsa !== null && (BigInt(f.rsa[2]) < 65537n || BigInt(f.rsa[2]) % 2n === 0n),
	'weak-curve': (f) => /^EC (secp1|secp2(?!56)|prime192|sect1|P-192|P-224)/.test(f.curve),
	'weak-hash': (f) => /sha1|md5/i.test(f.algorithm),
	'no-key-id': (f) => f.certificate && f.ca && f.extension('subjectKeyIdentifier') === null,
	'no-issuer-key-id': (f) => (f.certificate || f.list) && !f.selfIssued && f.extension('authorityKeyIdentifier') === null,
	'serial-short': (f) => f.certificate && !f.selfIssued && /[1-9a-f]/.test(f.serial) && !f.serial.startsWith('-') &&
		serialBits(f.serial) <= 56,
	'serial-long': (f) => f.certificate && serialBits(f.serial) > 159,
	'serial-sign': (f) => f.certificate && (f.serial.startsWith('-') || !/[1-9a-f]/.test(f.serial)),
	'tls-validity': (f) => f.certificate && f.server && daysBetween(f.from, f.to) > 398,
	'tls-no-name': (f) => f.certificate && f.server && f.extension('subjectAltName') === null,
	'unknown-critical': (f) => f.extensions.some((parts) => parts[1] === 'critical' && !knownCritical.has(parts[0])),
	'empty-subject': (f) => f.certificate && f.subject === 'none' && (f.ca || !f.critical('subjectAltName')),
	'old-version': (f) => f.certificate && f.version !== '3',
	'no-next-update': (f) => (f.list || f.response) && (f.updates.length === 0 || f.updates.includes('none')),
	'far-next-update': (f) => (f.list || f.response) &&
		f.updates.some((update) => update !== 'none' && daysBetween(f.thisUpdate, update) > (f.list ? 366 : 10)),
	'no-crl-number': (f) => f.list && f.extension('cRLNumber') === null,
	'late-update': (f) => (f.list || f.response) && f.updates.some((update) => update !== 'none' && instant(update) < f.now),
};

export const lintNames = Object.keys(rows);

/* The names of the rows that apply; `now` in ms. */
export function warningsOf(statement, now) {
	const facts = factsOf(statement, now);

	return lintNames.filter((name) => rows[name](facts));
}
