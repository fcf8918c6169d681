"use strict";
// The way back from the sign-in service goes on by itself; without scripts, by its button.
document.getElementById("return").requestSubmit();
