/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Takes librados' place; what is used of that is in fake_rbd.c.
 */
const char fake_rados[] = "none";
