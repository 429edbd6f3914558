/* Runs in the browser: starts flow.js on what an input is given, and notes what it reports. */
(() => {
  'use strict';

  window.flows = {};

  window.startFlow = (name, options, { helper = null, identifier = null } = {}) => {
    const recommended = helper ? FlowResume.options : {};
    const generate = identifier ? { generateUniqueIdentifier: () => identifier } : {};
    const flow = new Flow({ ...recommended, ...generate, ...options });
    const run = { flow, ended: false, successes: [], errors: [], retries: 0 };
    window.flows[name] = run;

    flow.on('fileSuccess', (file, message) => {
      run.successes.push({ path: file.relativePath, id: file.uniqueIdentifier, message });
    });
    flow.on('fileError', (file, message) => run.errors.push({ path: file.relativePath, message }));
    flow.on('fileRetry', () => {
      run.retries += 1;
    });
    // flow.js says "complete" after errors too, and before files whose turn has not come.
    flow.on('complete', () => {
      run.ended = flow.files.every((file) => file.error || file.isComplete());
    });
    run.report = () => ({ successes: run.successes, errors: run.errors, retries: run.retries });

    if (helper) FlowResume.attach(flow, helper);
    flow.on('filesSubmitted', () => flow.upload());
    for (const id of ['files', 'folder']) {
      const old = document.getElementById(id);
      // A clone has no listener of an earlier flow.
      const input = old.cloneNode();
      old.replaceWith(input);
      flow.assignBrowse(input, id === 'folder');
    }
  };
})();
