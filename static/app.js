/** Puts the page together: files in, rows and lists out. */

import { api } from './api.js';
import { CreativeLists } from './creative-list.js';
import { carriesFiles, chosenFiles, droppedFiles } from './files.js';
import { formatBytes, formatDuration, localDay } from './format.js';
import { Memory } from './memory.js';
import { keepSignedIn } from './renewal.js';
import { session } from './session.js';
import { wireSignIn } from './sign-in.js';
import { UnfinishedHint } from './unfinished.js';
import { UploadRow } from './upload-row.js';
import { createUploader } from './uploader.js';

const $ = (id) => document.getElementById(id);

const memory = new Memory();
const uploader = createUploader({ memory });
const rows = new Map();
const lists = new CreativeLists({
  api,
  announce,
  template: $('creative-template'),
  error: $('scheduled-error'),
  today: $('today'),
  tomorrow: $('tomorrow'),
});
const unfinished = new UnfinishedHint({
  api,
  memory,
  box: $('unfinished'),
  template: $('unfinished-template'),
});

/** Two hundred small files end at about the same time; what follows from it is done once. */
function soon(action, delay) {
  let timer = null;
  return () => {
    timer ??= setTimeout(() => {
      timer = null;
      action();
    }, delay);
  };
}

const refreshSoon = soon(() => lists.refresh(), 200);
const drawOverallSoon = soon(drawOverall, 50);

function announce(text) {
  $('announcer').textContent = text;
}

/** A page that was left open over midnight must not offer yesterday. */
let offeredDay = null;
function offerToday() {
  const field = $('day');
  if (field.value === (offeredDay ?? '')) field.value = localDay();
  offeredDay = localDay();
  field.min = offeredDay;
}

async function take(files) {
  offerToday();
  const scheduledAt = $('day').value || localDay();
  const before = new Map(memory.unfinished().map((entry) => [entry.identifier, entry]));
  for (const { file, path } of files) {
    // A file that is resumed keeps the day it was begun with, unless that day is over.
    const begun = before.get(await uploader.identifierOf(file, path));
    const day = begun && begun.scheduledAt >= localDay() ? begun.scheduledAt : scheduledAt;
    const upload = await uploader.add(file, { path, scheduledAt: day });
    unfinished.drop(upload.identifier);
    if (!rows.has(upload)) addRow(upload);
  }
  drawOverallSoon();
}

function addRow(upload) {
  const row = new UploadRow(upload, $('upload-template'), { onRemove: removeRow });
  rows.set(upload, row);
  $('uploads').append(row.element);
  let last = null;
  upload.addEventListener('change', () => {
    if (upload.state === last) return;
    last = upload.state;
    if (last === 'complete') {
      announce(`${upload.path} is complete.`);
      refreshSoon();
    }
    if (last === 'failed') announce(`${upload.path} failed. ${upload.error?.message ?? ''}`);
    drawOverallSoon();
  });
  upload.addEventListener('moved', () => lists.refresh());
}

function removeRow(row) {
  const next = row.element.nextElementSibling ?? row.element.previousElementSibling;
  rows.delete(row.upload);
  uploader.remove(row.upload);
  row.element.remove();
  // The focus must not fall back to the top of the page.
  (next?.querySelector('button:not([hidden])') ?? $('choose-files')).focus();
  drawOverallSoon();
}

/** The line above the list, and its buttons: worth their place from the second file on. */
function drawOverall() {
  const uploads = [...rows.keys()];
  const count = (test) => uploads.filter(test).length;
  const running = count((upload) => upload.running);
  const complete = count((upload) => upload.state === 'complete');
  const failed = count((upload) => upload.state === 'failed');

  const parts = [`${complete} of ${uploads.length} complete`];
  if (failed) parts.push(`${failed} failed`);
  const speed = [...rows.values()].reduce((sum, row) => sum + row.speed, 0);
  if (running && speed) {
    const active = uploads.filter((upload) => upload.running);
    const left = active.reduce((sum, upload) => sum + upload.size - upload.sent, 0);
    parts.push(`${formatBytes(speed)}/s`, `${formatDuration(left / speed)} left`);
  }
  $('overall').hidden = uploads.length < 2;
  $('overall-text').textContent = parts.join(' · ');
  $('pause-all').hidden = running === 0;
  $('resume-all').hidden = !uploads.some((upload) => upload.state === 'paused');
  $('clear-ended').hidden = complete === 0;
  document.title = running ? `${complete} of ${uploads.length} · flowstitch` : 'flowstitch';
}

function wireChoosers() {
  for (const input of [$('choose-files'), $('choose-folder')]) {
    input.addEventListener('change', async () => {
      const files = chosenFiles(input);
      // So that choosing the same file again is a change again.
      input.value = '';
      await take(files);
    });
  }
  // Phones have no folders to choose.
  $('folder-chooser').hidden = !('webkitdirectory' in HTMLInputElement.prototype);
}

function wireDrop() {
  const zone = $('dropzone');
  let depth = 0;
  const lit = (change) => {
    depth = Math.max(depth + change, 0);
    zone.classList.toggle('over', depth > 0);
  };
  // The whole page takes a drop: a file that misses the box must not replace the page.
  addEventListener('dragenter', (event) => carriesFiles(event) && lit(1));
  addEventListener('dragleave', (event) => carriesFiles(event) && lit(-1));
  addEventListener('dragover', (event) => carriesFiles(event) && event.preventDefault());
  addEventListener('drop', async (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    lit(-depth);
    try {
      await take(await droppedFiles(event.dataTransfer));
    } catch {
      announce('What was dropped could not be read.');
    }
  });
}

function wireButtons() {
  const each = (action) => () => [...rows.keys()].forEach(action);
  $('pause-all').addEventListener(
    'click',
    each((upload) => upload.pause()),
  );
  $('resume-all').addEventListener(
    'click',
    each((upload) => upload.state === 'paused' && upload.start()),
  );
  $('clear-ended').addEventListener('click', () => {
    for (const row of [...rows.values()]) if (row.upload.state === 'complete') removeRow(row);
  });
}

function wireNetwork() {
  const show = () => {
    $('offline').hidden = navigator.onLine !== false;
  };
  show();
  addEventListener('offline', show);
  addEventListener('online', () => {
    show();
    uploader.wake();
  });
  addEventListener('beforeunload', (event) => {
    if ([...rows.keys()].some((upload) => upload.running)) event.preventDefault();
  });
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) return;
    offerToday();
    lists.refresh();
  });
}

wireSignIn({
  $,
  api,
  check: () => api.scheduled(),
  onSignedIn() {
    announce('Signed in.');
    lists.refresh();
    unfinished.show();
    uploader.signedIn();
  },
});
keepSignedIn(session, api.renew);
offerToday();
wireChoosers();
wireDrop();
wireButtons();
wireNetwork();
lists.refresh();
unfinished.show();

// Speeds, countdowns and what is left change even when no byte moves.
setInterval(() => {
  for (const row of rows.values()) if (row.upload.running) row.draw();
  if (rows.size) drawOverall();
}, 1000);
