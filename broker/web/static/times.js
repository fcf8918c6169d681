// Days and seconds are told in UTC; here they are told in the reader's own zone, and in UTC to the pointer.
(() => {
  "use strict";
  const two = (number) => String(number).padStart(2, "0");
  for (const time of document.querySelectorAll("time[data-form]")) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.valueOf())) continue;
    const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
    const clock = `${two(at.getHours())}:${two(at.getMinutes())}`;
    time.textContent = time.dataset.form === "day" ? `${day} ${clock}` : `${day} ${clock}:${two(at.getSeconds())}`;
  }
})();
