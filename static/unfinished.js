/** The hint after a reload: which uploads wait for their files to be chosen again. */

import { formatBytes } from './format.js';

const MOST_SHOWN = 10;

export class UnfinishedHint {
  #api;
  #memory;
  #box;
  #template;

  constructor({ api, memory, box, template }) {
    this.#api = api;
    this.#memory = memory;
    this.#box = box;
    this.#template = template;
  }

  /** Asks the server about what this browser remembers; it may have ended or expired meanwhile. */
  async show() {
    const entries = this.#memory.unfinished().slice(0, MOST_SHOWN);
    const answers = await Promise.allSettled(entries.map((entry) => this.#api.upload(entry.id)));
    const items = [];
    answers.forEach(({ status, value }, index) => {
      const entry = entries[index];
      if (status === 'rejected') return;
      if (value?.upload.state === 'receiving') items.push(this.#item(entry, value.upload));
      else this.#memory.forget(entry.identifier);
    });
    this.#box.querySelector('ul').replaceChildren(...items);
    this.#box.hidden = items.length === 0;
  }

  /** The file of this identifier is here again. */
  drop(identifier) {
    for (const item of this.#box.querySelectorAll('li')) {
      if (item.dataset.identifier === identifier) item.remove();
    }
    this.#box.hidden = !this.#box.querySelector('li');
  }

  #item(entry, upload) {
    const item = this.#template.content.firstElementChild.cloneNode(true);
    const find = (selector) => item.querySelector(selector);
    item.dataset.identifier = entry.identifier;
    find('.name').textContent = entry.path;
    find('.facts').textContent =
      `${formatBytes(upload.received_bytes)} of ${formatBytes(upload.total_size)} are there`;
    const button = find('button');
    button.setAttribute('aria-label', `Discard ${entry.path}`);
    button.addEventListener('click', () => this.#discard(entry, button));
    return item;
  }

  async #discard(entry, button) {
    button.disabled = true;
    try {
      await this.#api.cancelUpload(entry.id);
      this.#memory.forget(entry.identifier);
      this.drop(entry.identifier);
    } catch (error) {
      button.disabled = false;
      button.previousElementSibling.querySelector('.facts').textContent = error.message;
    }
  }
}
