/** Today's and tomorrow's creatives. */

import { linkTo, showPicture } from './content.js';
import { formatBytes, formatDay, localDay } from './format.js';

export class CreativeLists {
  #api;
  #announce;
  #template;
  #error;
  #lists;
  #asked = 0;

  constructor({ api, announce, template, error, today, tomorrow }) {
    this.#api = api;
    this.#announce = announce;
    this.#template = template;
    this.#error = error;
    this.#lists = { today, tomorrow };
  }

  /** Shows what is scheduled now. Of several answers under way only the last asked for counts. */
  async refresh() {
    this.#asked += 1;
    const asked = this.#asked;
    try {
      const scheduled = await this.#api.scheduled();
      if (asked !== this.#asked) return;
      this.#error.hidden = true;
      for (const [day, list] of Object.entries(this.#lists)) this.#fill(list, scheduled[day]);
    } catch (error) {
      if (asked !== this.#asked) return;
      // The page asks for a token then.
      if (error.status === 401) return;
      this.#error.textContent = `The scheduled creatives cannot be shown. ${error.message}`;
      this.#error.hidden = false;
    }
  }

  /** Keeps the elements of creatives that stay, with the focus and the image they hold. */
  #fill(list, creatives) {
    const known = new Map([...list.children].map((item) => [item.dataset.id, item]));
    const items = creatives.map((creative) => {
      const item = known.get(creative.id);
      return item?.dataset.day === creative.scheduled_at ? item : this.#item(creative);
    });
    const unchanged =
      items.length === list.children.length &&
      items.every((item, at) => item === list.children[at]);
    if (!unchanged) list.replaceChildren(...items);
    list.nextElementSibling.hidden = items.length > 0;
  }

  #item(creative) {
    const item = this.#template.content.firstElementChild.cloneNode(true);
    const find = (selector) => item.querySelector(selector);
    item.dataset.id = creative.id;
    item.dataset.day = creative.scheduled_at;

    const link = find('a.name');
    linkTo(link, creative);
    // Never as markup: a name is whatever somebody called a file.
    find('bdi').textContent = creative.filename;
    find('.facts').textContent =
      `${formatBytes(creative.size)} · ${formatDay(creative.scheduled_at)}`;
    fillThumbnail(find('.thumbnail'), creative);

    const day = find('input[type=date]');
    day.value = creative.scheduled_at;
    day.min = localDay();
    day.setAttribute('aria-label', `Scheduled for, ${creative.filename}`);
    day.addEventListener('change', () => day.value && this.#move(item, creative, day));

    const button = find('[data-action=delete]');
    button.setAttribute('aria-label', `Delete ${creative.filename}`);
    confirmed(button, () => this.#delete(item, creative));
    return item;
  }

  async #move(item, creative, input) {
    try {
      const moved = await this.#api.reschedule(creative.id, input.value);
      this.#announce(`${creative.filename} is now scheduled for ${formatDay(moved.scheduled_at)}.`);
      await this.refresh();
    } catch (error) {
      input.value = creative.scheduled_at;
      showProblem(item, error);
    }
  }

  async #delete(item, creative) {
    try {
      await this.#api.deleteCreative(creative.id);
      this.#announce(`${creative.filename} is deleted.`);
      await this.refresh();
    } catch (error) {
      showProblem(item, error);
    }
  }
}

function showProblem(item, error) {
  const problem = item.querySelector('.problem');
  problem.textContent = error.message;
  problem.hidden = false;
}

function fillThumbnail(box, creative) {
  const dot = creative.filename.lastIndexOf('.');
  const extension = dot > 0 ? creative.filename.slice(dot + 1, dot + 5) : '';
  box.textContent = extension.toUpperCase();
  if (!creative.content_type?.startsWith('image/')) return;
  const image = new Image(56, 56);
  image.alt = '';
  image.loading = 'lazy';
  image.decoding = 'async';
  // What calls itself an image need not be one.
  image.addEventListener('error', () => image.remove());
  box.append(image);
  showPicture(image, creative);
}

/** The first press asks, the second does it; leaving the button takes the question back. */
function confirmed(button, action) {
  const { textContent: text } = button;
  const label = button.getAttribute('aria-label');
  const ask = (asking) => {
    button.classList.toggle('danger', asking);
    button.textContent = asking ? 'Really?' : text;
    button.setAttribute('aria-label', asking ? `Really ${label.toLowerCase()}?` : label);
  };
  button.addEventListener('click', () => {
    const sure = button.classList.contains('danger');
    ask(!sure);
    if (sure) action();
  });
  button.addEventListener('blur', () => ask(false));
}
