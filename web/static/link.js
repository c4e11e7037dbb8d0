// A person who opens a sign-in link need not click again. A mail program that checks links runs no
// script, so it does not use the link up.

document.querySelector("form[data-at-once]").requestSubmit();
