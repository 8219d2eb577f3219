/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registers, opcodes, status codes and structure sizes of NVM Express, base
 * specification 1.4c. Section numbers in the comments are that document's.
 */
#ifndef LODGE_DEVICE_NVME_REG_H
#define LODGE_DEVICE_NVME_REG_H

/* Controller registers (3.1) */
#define NVME_CAP   0x00u /* 64 bits */
#define NVME_VS	   0x08u
#define NVME_INTMS 0x0cu
#define NVME_INTMC 0x10u
#define NVME_CC	   0x14u
#define NVME_CSTS  0x1cu
#define NVME_AQA   0x24u
#define NVME_ASQ   0x28u /* 64 bits */
#define NVME_ACQ   0x30u /* 64 bits */
#define NVME_DOORBELLS 0x1000u

#define NVME_VERSION 0x00010400u

/* CAP (3.1.1) */
#define NVME_CAP_MQES(entries) ((uint64_t)(entries) - 1)
#define NVME_CAP_CQR	  ((uint64_t)1 << 16) /* queues are contiguous */
#define NVME_CAP_TO(half) ((uint64_t)(half) << 24) /* units of 500 ms */
#define NVME_CAP_CSS_NVM  ((uint64_t)1 << 37)

/* CC (3.1.5) */
#define NVME_CC_EN     0x00000001u
#define NVME_CC_CSS    0x00000070u
#define NVME_CC_MPS    0x00000780u
#define NVME_CC_AMS    0x00003800u
#define NVME_CC_SHN    0x0000c000u
#define NVME_CC_IOSQES 0x000f0000u
#define NVME_CC_IOCQES 0x00f00000u
#define NVME_CC_MASK   0x00fffff1u
#define NVME_CC_SIZES  0x00460000u /* 64-byte commands, 16-byte completions */

/* CSTS (3.1.6) */
#define NVME_CSTS_RDY	      0x01u
#define NVME_CSTS_CFS	      0x02u
#define NVME_CSTS_SHST	      0x0cu
#define NVME_CSTS_SHST_BUSY   0x04u
#define NVME_CSTS_SHST_OVER   0x08u

#define NVME_AQA_MASK 0x0fff0fffu

/* Sizes of structures, in bytes */
#define NVME_PAGE	 4096u
#define NVME_COMMAND	 64u
#define NVME_COMPLETION	 16u
#define NVME_IDENTIFY	 4096u
#define NVME_RANGE	 16u

/* Admin commands (5) */
enum nvme_admin_op {
	NVME_DELETE_SQ = 0x00,
	NVME_CREATE_SQ = 0x01,
	NVME_GET_LOG = 0x02,
	NVME_DELETE_CQ = 0x04,
	NVME_CREATE_CQ = 0x05,
	NVME_IDENTIFY_OP = 0x06,
	NVME_ABORT = 0x08,
	NVME_SET_FEATURES = 0x09,
	NVME_GET_FEATURES = 0x0a,
	NVME_ASYNC_EVENT = 0x0c,
};

/* NVM commands (6) */
enum nvme_io_op {
	NVME_FLUSH = 0x00,
	NVME_WRITE = 0x01,
	NVME_READ = 0x02,
	NVME_COMPARE = 0x05,
	NVME_WRITE_ZEROES = 0x08,
	NVME_DATASET = 0x09,
};

/* Status (4.6.1): type in bits 10:8, code in bits 7:0 */
enum nvme_status {
	NVME_OK = 0x000,
	NVME_INVALID_OPCODE = 0x001,
	NVME_INVALID_FIELD = 0x002,
	NVME_DATA_TRANSFER = 0x004,
	NVME_INTERNAL = 0x006,
	NVME_ABORTED = 0x007, /* by request */
	NVME_INVALID_NAMESPACE = 0x00b,
	NVME_SEQUENCE = 0x00c,
	NVME_PRP_OFFSET = 0x013,
	NVME_WRITE_PROTECTED = 0x020,
	NVME_LBA_RANGE = 0x080,
	NVME_CAPACITY = 0x081,
	NVME_CQ_INVALID = 0x100,
	NVME_QUEUE_ID = 0x101,
	NVME_QUEUE_SIZE = 0x102,
	NVME_ABORT_LIMIT = 0x103,
	NVME_EVENT_LIMIT = 0x105,
	NVME_VECTOR = 0x108,
	NVME_LOG_PAGE = 0x109,
	NVME_QUEUE_DELETION = 0x10c,
	NVME_NOT_SAVEABLE = 0x10d,
	NVME_NOT_CHANGEABLE = 0x10e,
	NVME_WRITE_FAULT = 0x280,
	NVME_READ_ERROR = 0x281,
	NVME_COMPARE_FAILED = 0x285,
	NVME_MORE = 0x2000, /* the error log tells more */
	NVME_DO_NOT_RETRY = 0x4000,
	NVME_CODE = 0x7ff,
};

/* Queue creation, dword 11 (5.3, 5.4) */
#define NVME_QUEUE_PC  0x1u
#define NVME_QUEUE_IEN 0x2u /* of a completion queue */

/* Reads and writes, dword 12 (6.9, 6.15, 6.16) */
#define NVME_IO_DEALLOCATE (1u << 25) /* of write zeroes */
#define NVME_IO_FUA	   (1u << 30)

#define NVME_DATASET_DEALLOCATE 0x4u

/* Identify: CNS (5.15) */
enum nvme_cns {
	NVME_CNS_NAMESPACE = 0x00,
	NVME_CNS_CONTROLLER = 0x01,
	NVME_CNS_ACTIVE = 0x02,
	NVME_CNS_DESCRIPTORS = 0x03,
};

/* Log pages (5.14.1) */
enum nvme_log {
	NVME_LOG_ERROR = 0x01,
	NVME_LOG_HEALTH = 0x02,
	NVME_LOG_FIRMWARE = 0x03,
	NVME_LOG_EFFECTS = 0x05,
};

#define NVME_LOG_RETAIN (1u << 15) /* of dword 10: the event stays masked */

/* Features (5.21.1) */
enum nvme_feature {
	NVME_F_ARBITRATION = 0x01,
	NVME_F_POWER = 0x02,
	NVME_F_TEMPERATURE = 0x04,
	NVME_F_RECOVERY = 0x05,
	NVME_F_CACHE = 0x06,
	NVME_F_QUEUES = 0x07,
	NVME_F_COALESCING = 0x08,
	NVME_F_VECTOR = 0x09,
	NVME_F_ATOMICITY = 0x0a,
	NVME_F_EVENTS = 0x0b,
};

#define NVME_FEATURE_SAVE (1u << 31) /* of dword 10 */

/* Asynchronous events (5.2): what dword 0 of one's completion says */
#define NVME_EVENT(type, info, log) \
	((uint32_t)(type) | (uint32_t)(info) << 8 | (uint32_t)(log) << 16)
#define NVME_EVENT_ERROR  0u
#define NVME_EVENT_HEALTH 1u
#define NVME_EVENT_TYPES  8u

#define NVME_ERROR_DOORBELL	  0x00u /* of no queue */
#define NVME_ERROR_DOORBELL_VALUE 0x01u
#define NVME_HEALTH_TEMPERATURE	  0x01u

#define NVME_WARN_TEMPERATURE 0x02u /* critical warnings, and their events */
#define NVME_WARN_READ_ONLY   0x08u

#endif
