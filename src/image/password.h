/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Passwords as /etc/shadow keeps them: the extension "password".
 */
#ifndef LODGE_IMAGE_PASSWORD_H
#define LODGE_IMAGE_PASSWORD_H

/* crypt(3) of the password, to be freed; NULL: it cannot be made. */
typedef char *image_password_hasher(const char *password, const char *salt);

image_password_hasher image_password_hash;

#endif
