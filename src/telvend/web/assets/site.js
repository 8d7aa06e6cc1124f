/* What is only pleasant: pages work without it. Copy buttons, and questions before what cannot be undone. */
(function () {
  "use strict";
  function wake(root) {
    root.querySelectorAll("[data-needs-script][hidden]").forEach(function (element) { element.hidden = false; });
  }
  document.addEventListener("click", function (event) {
    var button = event.target.closest("[data-copy]");
    if (!button) { return; }
    var source = document.getElementById(button.dataset.copy);
    if (!source) { return; }
    var text = "value" in source ? source.value : source.textContent.trim();
    function done() {
      var label = button.querySelector("[data-copy-label]") || button;
      var before = label.textContent;
      label.textContent = "Copied";
      setTimeout(function () { label.textContent = before; }, 1500);
    }
    if (navigator.clipboard) { navigator.clipboard.writeText(text).then(done, function () {}); return; }
    var range = document.createRange();
    range.selectNodeContents(source);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    if (document.execCommand("copy")) { done(); }
  });
  document.addEventListener("click", function (event) {
    if (event.target.closest("[data-print]")) { window.print(); }
  });
  document.addEventListener("submit", function (event) {
    var asked = (event.submitter && event.submitter.dataset.confirm) || event.target.dataset.confirm;
    if (asked && !window.confirm(asked)) { event.preventDefault(); }
  });
  document.addEventListener("change", function (event) {
    var form = event.target.closest("form[data-sends-itself]");
    if (form) { form.requestSubmit(); }
  });
  document.addEventListener("htmx:afterSettle", function (event) { wake(event.target); });
  wake(document);
})();
