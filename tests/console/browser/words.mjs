/* The table of words (js/words.js), and what the modules ask of it. */
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { runAll, test } from './tap.mjs';

const www = process.env.KMN_WWW;
/* By its text, for node takes a .js file outside of a package for a script. */
const load = async (name) => import(`data:text/javascript,${encodeURIComponent(readFileSync(join(www, name), 'utf8'))}`);
const { table: reasons } = await load('js/reasons.js');
/* words.js imports reasons.js, which a module made of a text cannot. */
const source = readFileSync(join(www, 'js/words.js'), 'utf8').replace(/^import .*$/m, 'const reasons = {};');
const { languages, table } = await import(`data:text/javascript,${encodeURIComponent(source)}`);
const sources = (folder) => readdirSync(join(www, folder), { withFileTypes: true }).flatMap((entry) =>
	(entry.isDirectory() ? sources(join(folder, entry.name)) : entry.name.endsWith('.js') ? [join(folder, entry.name)] : []));
const texts = sources('js').filter((name) => !/(words|reasons)\.js$/.test(name)).map((name) => ({ name, text: readFileSync(join(www, name), 'utf8') }));
const all = texts.map(({ text }) => text).join('\n');

test('each row has a text in each language', () => {
	for (const [key, row] of Object.entries(table)) {
		assert.equal(row.length, languages.length, key);
		assert.ok(row.every((text) => text.length > 0), key);
	}
});

test('each key that js/verify answers with has its row, in each language, with the same names to fill in', () => {
	const names = (text) => [...new Set(text.match(/\{\w+\}/g) ?? [])].sort().join(' ');
	const answered = texts.filter(({ name }) => name.startsWith('js/verify')).flatMap(({ text }) => [...text.matchAll(/'([a-z]+\.[a-z0-9.-]+)'/g)])
		.map((match) => match[1]).filter((key) => !key.endsWith('.js'));
	assert.ok(answered.length > 80);
	for (const key of answered)
		assert.ok(Object.hasOwn(reasons, key), key);
	for (const [key, row] of Object.entries(reasons)) {
		assert.equal(row.length, languages.length, key);
		assert.equal(names(row[0]), names(row[1]), key);
	}
});

test('a row has the same places to fill in each language', () => {
	const places = (text) => [...new Set(text.match(/\{\d\}/g) ?? [])].sort().join(' ');
	for (const [key, row] of Object.entries(table))
		assert.equal(places(row[0]), places(row[1]), key);
});

test('no key stands twice', () => {
	const keys = [...readFileSync(join(www, 'js/words.js'), 'utf8').matchAll(/^\t'([^']+)': \[/gm)].map((match) => match[1]);
	assert.equal(new Set(keys).size, keys.length, keys.filter((key, i) => keys.indexOf(key) !== i).join(' '));
	assert.equal(keys.length, Object.keys(table).length);
});

test('what the modules ask for by a whole key is in the table', () => {
	for (const { name, text } of texts)
		for (const match of text.matchAll(/\bt\('([^']+)'/g))
			assert.ok(Object.hasOwn(table, match[1]), `${name}: ${match[1]}`);
});

test('each row is asked for, by its key or by a key with its beginning', () => {
	const beginnings = [...all.matchAll(/`([a-z_.]+\.)\$\{/g)].map((match) => match[1]);
	for (const key of Object.keys(table))
		assert.ok(all.includes(`'${key}'`) || beginnings.some((beginning) => key.startsWith(beginning)), `nothing asks for ${key}`);
});

test('each module is installed', () => {
	const installed = readFileSync(join(www, 'Makefile.inc'), 'utf8');
	for (const name of sources('js'))
		assert.ok(installed.includes(`server/console/www/${name}`), name);
});

test('no module makes an element from markup, and none asks another origin', () => {
	for (const { name, text } of texts)
		assert.doesNotMatch(text, /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|https?:\/\//, name);
});

process.exit((await runAll()) > 0 ? 1 : 0);
