/* The table of words (js/words.js), and what the modules ask of it. */
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { runAll, test } from './tap.mjs';

const www = process.env.KMN_WWW;
/* By its text, for node takes a .js file outside of a package for a script. */
const load = async (name) => import(`data:text/javascript,${encodeURIComponent(readFileSync(join(www, name), 'utf8'))}`);
const { languages, table } = await load('js/words.js');
const sources = (folder) => readdirSync(join(www, folder), { withFileTypes: true }).flatMap((entry) =>
	(entry.isDirectory() ? sources(join(folder, entry.name)) : entry.name.endsWith('.js') ? [join(folder, entry.name)] : []));
const texts = sources('js').filter((name) => !name.endsWith('words.js')).map((name) => ({ name, text: readFileSync(join(www, name), 'utf8') }));
const all = texts.map(({ text }) => text).join('\n');

test('each row has a text in each language', () => {
	for (const [key, row] of Object.entries(table)) {
		assert.equal(row.length, languages.length, key);
		assert.ok(row.every((text) => text.length > 0), key);
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

test('no module makes an element from markup, and none asks another origin', () => {
	for (const { name, text } of texts)
		assert.doesNotMatch(text, /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|https?:\/\//, name);
});

process.exit((await runAll()) > 0 ? 1 : 0);
