/** Published films, sound and pictures in three browsers: opened by themselves, and embedded. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { browsers, until } from './support/drivers.mjs';
import { contentRequests, make, PLAYED, publish, SHOWN } from './support/media.mjs';
import { Server } from './support/server.mjs';

/** What a player may ask for while it opens a file, plays and seeks. One that is refused asks for ever. */
const REQUESTS_MAX = 12;

const PLAYER = "const media = document.querySelector('video, audio');";

let folder;
let pages;
let port;
/** What the page that embeds files holds. */
let html = '';

before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'flowstitch-media-'));
  await make(folder, { ...PLAYED, ...SHOWN });
  pages = http.createServer((_, response) => {
    response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8' });
    response.end(`<!doctype html><title>embedding</title>${html}`);
  });
  pages.listen(0, '127.0.0.1');
  await once(pages, 'listening');
  ({ port } = pages.address());
});

after(async () => {
  pages?.close();
  pages?.closeAllConnections();
  await rm(folder, { recursive: true, force: true });
});

for (const [name, start] of browsers) {
  test(`${name} plays and seeks in films and sound that are opened`, async (t) => {
    const server = await Server.start(t);
    const browser = await start(t);
    for (const file of Object.keys(PLAYED)) {
      const creative = await publish(server, folder, file);
      const asked = await contentRequests(server);
      await browser.goto(server.origin + creative.creative_url);
      await until(() => browser.run(`${PLAYER} return media && media.readyState >= 1`));
      await browser.run(`${PLAYER} media.muted = true; media.play()`);
      await until(() => browser.run(`${PLAYER} return media.currentTime > 0`));
      await browser.run(`${PLAYER} media.currentTime = 24`);
      await until(() => browser.run(`${PLAYER} return !media.seeking && media.currentTime > 24`));
      const duration = await browser.run(`${PLAYER} return media.duration`);
      assert.ok(duration > 29 && duration < 31, `${file}: ${duration} s`);
      const requests = (await contentRequests(server)) - asked;
      assert.ok(requests >= 1 && requests <= REQUESTS_MAX, `${file}: ${requests} requests`);
    }
  });

  test(`${name} shows pictures that are opened`, async (t) => {
    const server = await Server.start(t);
    const browser = await start(t);
    for (const file of Object.keys(SHOWN)) {
      const creative = await publish(server, folder, file);
      await browser.goto(server.origin + creative.creative_url);
      await until(() => browser.run('return document.images[0]?.naturalWidth === 160'));
    }
  });

  test(`${name} shows and plays files inside a page of a listed origin, and of no other`, async (t) => {
    // Two names of one page: two origins, and two sites.
    const [listed, other] = [`http://localhost:${port}`, `http://127.0.0.1:${port}`];
    const server = await Server.start(t, ['--cors-origins', listed]);
    const browser = await start(t);
    const address = async (file) => server.origin + (await publish(server, folder, file)).creative_url;
    const [picture, film] = [await address('picture.png'), await address('index last.mp4')];
    html = ['', ' crossorigin']
      .map((cors) => `<img src="${picture}"${cors}><video preload src="${film}"${cors}></video>`)
      .join('');

    // 1: it is shown; -1: it is refused; 0: neither is known.
    const seen = () =>
      browser.run(`
        const image = (it) => it.complete && (it.naturalWidth === 160 ? 1 : -1);
        const film = (it) => (it.error ? -1 : it.readyState >= 2 ? 1 : 0);
        const all = [...document.images].map(image);
        all.push(...[...document.querySelectorAll('video')].map(film));
        return all.length === 4 && all.every(Boolean) && all.join()`);
    await browser.goto(`${listed}/`);
    assert.equal(await until(seen), '1,1,1,1');
    await browser.goto(`${other}/`);
    assert.equal(await until(seen), '-1,-1,-1,-1');
  });
}
