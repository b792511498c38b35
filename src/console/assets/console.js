// Replaces the parts of a page that change. Without this script, the pages show the state at the time of the request.
'use strict';
for (const part of document.querySelectorAll('[data-live]')) {
  const events = new EventSource(part.dataset.live);
  events.onmessage = (event) => {
    // The server has escaped everything in this text.
    part.innerHTML = event.data;
  };
  events.addEventListener('ended', () => {
    events.close();
    window.location.reload();
  });
  window.addEventListener('pagehide', () => events.close());
}
